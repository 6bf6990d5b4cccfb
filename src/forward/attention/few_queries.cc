#include "forward/attention/few_queries.h"

#include <algorithm>
#include <cmath>

#include "base/simd/simd_math.h"
#include "forward/attention/attention.h"
#include "kernels/cached_attention/cached_attention.h"
#include "ops/packed_linear.h"

namespace bitloom {
namespace {

// Keys that all heads and rows pass before the next: they stay in the first caches.
constexpr int64_t kTileKeys = 64;
// Keys of a part: few enough for all threads to have some in short texts, and from kLongText keys on enough for outputs
// to be little beside them, and for most tiles to be read while the one before is multiplied.
constexpr int64_t kShortPart = kTileKeys, kLongPart = 4 * kTileKeys, kLongText = 1024;
constexpr int64_t part_keys(int64_t position) { return position < kLongText ? kShortPart : kLongPart; }
// Of fewer parts, which threads would not share evenly, the key heads are two pieces. Heads ask together for the keys
// that follow (ask_for_rows), so parts of which these are several tiles are better whole.
constexpr size_t kManyParts = 8;
// Outputs of parts that one thread puts together sooner than others would come.
constexpr int64_t kJoinedAlone = 1 << 15;

/// A part's results: for every row and head.
struct PartState {
  float *values, *most, *sum;
};

int64_t state_size(const AttentionCall& call, int64_t rows) {
  return rows * call.heads * (padded_channels(call.values()) + 2);
}

PartState state_of(const AttentionCall& call, FewQueries& few, int64_t part) {
  const auto index = static_cast<size_t>(part);
  const int64_t rows = few.sequences[static_cast<size_t>(few.parts[index].sequence)].sequence->rows;
  float* values = few.states.data() + few.places[index];
  float* most = values + rows * call.heads * padded_channels(call.values());
  return {values, most, most + rows * call.heads};
}

/// Keys that the sequence's row sees.
struct Visible {
  int64_t begin, end;
};
Visible visible(const AttentionCall& call, const PassSequence& sequence, int64_t row) {
  const int64_t position = sequence.position + row;
  return {call.window > 0 ? std::max<int64_t>(0, position - call.window + 1) : 0, position + 1};
}

void add_parts(const AttentionCall& call, FewQueries& few, const PassSequence& sequence) {
  const std::span<const KvRun> runs = call.pass->runs(sequence);
  const auto number = static_cast<int64_t>(few.sequences.size()), first = static_cast<int64_t>(few.parts.size());
  int64_t run = 0, run_position = 0;
  const int64_t seen = visible(call, sequence, 0).begin;
  for (int64_t begin = seen / part_keys(seen) * part_keys(seen), end = 0; begin < sequence.keys(); begin = end) {
    end = std::min(begin + part_keys(begin), sequence.keys());
    for (; run_position + runs[static_cast<size_t>(run)].rows <= begin; ++run) {
      run_position += runs[static_cast<size_t>(run)].rows;
    }
    few.parts.push_back({number, begin, end, run, run_position});
  }
  few.sequences.push_back(
      {&sequence, first, static_cast<int64_t>(few.parts.size()) - first, static_cast<int64_t>(few.rows.size())});
  few.rows.insert(few.rows.end(), static_cast<size_t>(sequence.rows), number);
}

void gather_queries(const AttentionCall& call, FewQueries& few) {
  const int64_t padded = padded_channels(call.head_dim);
  few.queries.resize(few.rows.size() * static_cast<size_t>(call.heads * padded));
  float* out = few.queries.data();
  for (const FewQueries::Sequence& of : few.sequences) {
    for (int64_t row = 0; row < of.sequence->rows; ++row) {
      for (int64_t head = 0; head < call.heads; ++head, out += padded) {
        std::copy_n(call.q.at(of.sequence->first_row + row, head), call.head_dim, out);
        std::fill(out + call.head_dim, out + padded, 0.0f);
      }
    }
  }
}

/// Bytes of a row of keys and of values.
struct RowBytes {
  int64_t keys, values;
};
RowBytes row_bytes(const AttentionCall& call, KvFormat format) {
  return {call.kv_heads * kv_head_bytes(format, call.head_dim), call.kv_heads * kv_head_bytes(format, call.values())};
}

/// The share of a key head of rows [first, first + count) of a page, to be read while others are multiplied: any bytes,
/// as long as the heads ask for all of them.
void ask_for_rows(const AttentionCall& call, const KvRows& rows, int64_t first, int64_t count, int64_t kv_head,
                  CachedAttentionCall& kernel_call) {
  const RowBytes bytes = row_bytes(call, rows.format);
  const auto share = [&](const std::byte* from, int64_t size) {
    const int64_t begin = size * kv_head / call.kv_heads;
    return CachedBytes{from + begin, size * (kv_head + 1) / call.kv_heads - begin};
  };
  kernel_call.next_k = share(rows.keys + first * bytes.keys, count * bytes.keys);
  kernel_call.next_v = share(rows.values + first * bytes.values, count * bytes.values);
}

/// Rows [first, first + count) of a page for the queries of the call.
void attend_to_rows(const AttentionCall& call, const KvRows& rows, Isa isa, int64_t first, int64_t count,
                    int64_t kv_head, CachedAttentionCall& kernel_call) {
  const RowBytes bytes = row_bytes(call, rows.format);
  kernel_call.k_stride = bytes.keys, kernel_call.v_stride = bytes.values;
  kernel_call.k = rows.keys + first * bytes.keys + kv_head * kv_head_bytes(rows.format, call.head_dim);
  kernel_call.v = rows.values + first * bytes.values + kv_head * kv_head_bytes(rows.format, call.values());
  kernel_call.keys = count;
  find_cached_attention(isa, rows.format).kernel(kernel_call);
}

/// Keys [tile.begin, tile.end), all of one tile, for one row's query heads of a key head; `last`: the end of the part
/// that they are of.
void attend(const AttentionCall& call, const FewQueries& few, Isa isa, const AttentionPart& tile, int64_t last,
            int64_t row, int64_t kv_head, const PartState& state) {
  const FewQueries::Sequence& of = few.sequences[static_cast<size_t>(tile.sequence)];
  const int64_t group = call.heads / call.kv_heads, at = row * call.heads + kv_head * group;
  const Visible seen = visible(call, *of.sequence, row);
  const int64_t begin = std::max(tile.begin, seen.begin), end = std::min(tile.end, seen.end);
  CachedAttentionCall kernel_call;
  kernel_call.head_dim = call.head_dim, kernel_call.value_dim = call.values(), kernel_call.queries = group;
  kernel_call.q = few.queries.data() + (of.first_row * call.heads + at) * padded_channels(call.head_dim);
  kernel_call.scale = call.scale, kernel_call.softcap = call.softcap;
  if (!call.alibi.empty()) kernel_call.slopes = call.alibi.data() + kv_head * group;
  kernel_call.most = state.most + at, kernel_call.sum = state.sum + at;
  kernel_call.values = state.values + at * padded_channels(call.values());
  const std::span<const KvRun> runs = call.pass->runs(*of.sequence);
  int64_t position = tile.run_position;
  for (auto i = static_cast<size_t>(tile.run); position < end; position += runs[i].rows, ++i) {
    const int64_t run_end = position + runs[i].rows, low = std::max(position, begin), high = std::min(run_end, end);
    if (low >= high) continue;
    const KvRows& page = runs[i].page[static_cast<size_t>(call.block)];
    kernel_call.distance = low - of.sequence->position - row;
    const int64_t next = std::clamp<int64_t>(std::min(run_end, last) - tile.end, 0, kTileKeys);  // rows of this run
    if (row == 0 && next > 0) ask_for_rows(call, page, runs[i].first + tile.end - position, next, kv_head, kernel_call);
    attend_to_rows(call, page, isa, runs[i].first + low - position, high - low, kv_head, kernel_call);
  }
}

/// out <- what all parts make of one row and head.
void join(const AttentionCall& call, FewQueries& few, const FewQueries::Sequence& of, int64_t row, int64_t head) {
  const int64_t at = row * call.heads + head, width = call.values();
  float most = call.sinks.empty() ? kNoScore : call.sinks[static_cast<size_t>(head)];
  for (int64_t i = 0; i < of.parts; ++i) {
    const float of_part = state_of(call, few, of.first_part + i).most[at];
    most = of_part > most ? of_part : most;
  }
  float sum = call.sinks.empty() ? 0.0f : exp_fp32(call.sinks[static_cast<size_t>(head)] - most);
  float* out = call.out + ((of.sequence->first_row + row) * call.heads + head) * width;
  std::fill_n(out, width, 0.0f);
  for (int64_t i = 0; i < of.parts; ++i) {
    const PartState state = state_of(call, few, of.first_part + i);
    const float share = exp_fp32(state.most[at] - most), *values = state.values + at * padded_channels(width);
    sum += share * state.sum[at];
    for (int64_t c = 0; c < width; ++c) out[c] += share * values[c];
  }
  const float inverse = 1.0f / sum;
  for (int64_t c = 0; c < width; ++c) out[c] *= inverse;
}

}  // namespace

bool has_few_queries(const AttentionCall& call, const PassSequence& sequence) {
  return sequence.rows <= kUnpackedTokens && call.probabilities == nullptr && is_kept(call, sequence);
}

void prepare_parts(const AttentionCall& call, FewQueries& few) {
  few.sequences.clear(), few.parts.clear(), few.places.clear(), few.rows.clear();
  for (const PassSequence& sequence : call.pass->sequences()) {
    if (has_few_queries(call, sequence)) add_parts(call, few, sequence);
  }
  gather_queries(call, few);
  int64_t size = 0;
  for (const AttentionPart& part : few.parts) {
    few.places.push_back(size);
    size += state_size(call, few.sequences[static_cast<size_t>(part.sequence)].sequence->rows);
  }
  if (static_cast<int64_t>(few.states.size()) < size) few.states.resize(static_cast<size_t>(size));
  few.shares = few.parts.size() < kManyParts && call.kv_heads % 2 == 0 ? 2 : 1;
}

void attention_of_piece(const AttentionCall& call, FewQueries& few, Isa isa, int64_t piece) {
  const int64_t part = piece / few.shares, share = piece % few.shares;
  const int64_t first_head = share * call.kv_heads / few.shares, last_head = (share + 1) * call.kv_heads / few.shares;
  const AttentionPart& of = few.parts[static_cast<size_t>(part)];
  const int64_t rows = few.sequences[static_cast<size_t>(of.sequence)].sequence->rows;
  const int64_t group = call.heads / call.kv_heads, count = (last_head - first_head) * group;
  const PartState state = state_of(call, few, part);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = row * call.heads + first_head * group;
    std::fill_n(state.values + at * padded_channels(call.values()), count * padded_channels(call.values()), 0.0f);
    std::fill_n(state.most + at, count, kNoScore);
    std::fill_n(state.sum + at, count, 0.0f);
  }
  AttentionPart tile = of;
  for (; tile.begin < of.end; tile.begin = tile.end) {
    tile.end = std::min(tile.begin + kTileKeys, of.end);
    for (int64_t kv_head = first_head; kv_head < last_head; ++kv_head) {
      for (int64_t row = 0; row < rows; ++row) attend(call, few, isa, tile, of.end, row, kv_head, state);
    }
  }
}

void join_parts(const AttentionCall& call, FewQueries& few, ThreadPool& threads) {
  const auto join_head = [&call, &few](int64_t index, int) {
    const int64_t row = index / call.heads;
    const FewQueries::Sequence& of = few.sequences[static_cast<size_t>(few.rows[static_cast<size_t>(row)])];
    join(call, few, of, row - of.first_row, index % call.heads);
  };
  const int64_t heads = static_cast<int64_t>(few.rows.size()) * call.heads;
  const int64_t outputs = static_cast<int64_t>(few.parts.size()) * call.heads * call.values();
  if (outputs < kJoinedAlone) {
    for (int64_t i = 0; i < heads; ++i) join_head(i, 0);
  } else {
    threads.parallel_for_thread(heads, join_head);
  }
}

}  // namespace bitloom

#include "forward/attention/few_queries.h"

#include <algorithm>
#include <cmath>

#include "base/simd_math.h"
#include "forward/attention/attention.h"
#include "kernels/cached_attention/cached_attention.h"
#include "ops/packed_linear.h"

namespace bitloom {
namespace {

// Enough for a part's outputs to be little beside its keys, few enough for all threads to have some in short texts.
constexpr int64_t kPartKeys = 64;
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
  for (int64_t begin = visible(call, sequence, 0).begin / kPartKeys * kPartKeys; begin < sequence.keys();
       begin += kPartKeys) {
    for (; run_position + runs[static_cast<size_t>(run)].rows <= begin; ++run) {
      run_position += runs[static_cast<size_t>(run)].rows;
    }
    few.parts.push_back({number, begin, std::min(begin + kPartKeys, sequence.keys()), run, run_position});
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

/// Rows [first, first + count) of a page, the first of them at `position`, for the query at `query`.
void attend_to_rows(const AttentionCall& call, const KvRows& rows, Isa isa, int64_t first, int64_t count,
                    int64_t kv_head, CachedAttentionCall& kernel_call) {
  const int64_t k_bytes = kv_head_bytes(rows.format, call.head_dim),
                v_bytes = kv_head_bytes(rows.format, call.values());
  kernel_call.k_stride = call.kv_heads * k_bytes, kernel_call.v_stride = call.kv_heads * v_bytes;
  kernel_call.k = rows.keys + first * kernel_call.k_stride + kv_head * k_bytes;
  kernel_call.v = rows.values + first * kernel_call.v_stride + kv_head * v_bytes;
  kernel_call.keys = count;
  find_cached_attention(isa, rows.format).kernel(kernel_call);
}

/// One row's query heads of a key head.
void attend(const AttentionCall& call, const FewQueries& few, Isa isa, const AttentionPart& part, int64_t row,
            int64_t kv_head, const PartState& state) {
  const FewQueries::Sequence& of = few.sequences[static_cast<size_t>(part.sequence)];
  const int64_t group = call.heads / call.kv_heads, at = row * call.heads + kv_head * group;
  const Visible seen = visible(call, *of.sequence, row);
  const int64_t begin = std::max(part.begin, seen.begin), end = std::min(part.end, seen.end);
  CachedAttentionCall kernel_call;
  kernel_call.head_dim = call.head_dim, kernel_call.value_dim = call.values(), kernel_call.queries = group;
  kernel_call.q = few.queries.data() + (of.first_row * call.heads + at) * padded_channels(call.head_dim);
  kernel_call.scale = call.scale, kernel_call.softcap = call.softcap;
  if (!call.alibi.empty()) kernel_call.slopes = call.alibi.data() + kv_head * group;
  kernel_call.most = state.most + at, kernel_call.sum = state.sum + at;
  kernel_call.values = state.values + at * padded_channels(call.values());
  const std::span<const KvRun> runs = call.pass->runs(*of.sequence);
  int64_t position = part.run_position;
  for (auto i = static_cast<size_t>(part.run); position < end; position += runs[i].rows, ++i) {
    const int64_t low = std::max(position, begin), high = std::min(position + runs[i].rows, end);
    if (low >= high) continue;
    kernel_call.distance = low - of.sequence->position - row;
    attend_to_rows(call, runs[i].page[static_cast<size_t>(call.block)], isa, runs[i].first + low - position, high - low,
                   kv_head, kernel_call);
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
}

void attention_of_part(const AttentionCall& call, FewQueries& few, Isa isa, int64_t part) {
  const AttentionPart& of = few.parts[static_cast<size_t>(part)];
  const int64_t rows = few.sequences[static_cast<size_t>(of.sequence)].sequence->rows, count = rows * call.heads;
  const PartState state = state_of(call, few, part);
  std::fill_n(state.values, count * padded_channels(call.values()), 0.0f);
  std::fill_n(state.most, count, kNoScore);
  std::fill_n(state.sum, count, 0.0f);
  for (int64_t kv_head = 0; kv_head < call.kv_heads; ++kv_head) {
    for (int64_t row = 0; row < rows; ++row) attend(call, few, isa, of, row, kv_head, state);
  }
}

void join_parts(const AttentionCall& call, FewQueries& few, ThreadPool& threads) {
  const auto join_row = [&call, &few](int64_t row, int) {
    const FewQueries::Sequence& of = few.sequences[static_cast<size_t>(few.rows[static_cast<size_t>(row)])];
    for (int64_t head = 0; head < call.heads; ++head) join(call, few, of, row - of.first_row, head);
  };
  const auto rows = static_cast<int64_t>(few.rows.size());
  const int64_t outputs = static_cast<int64_t>(few.parts.size()) * call.heads * call.values();
  if (rows == 1 || outputs < kJoinedAlone) {
    for (int64_t row = 0; row < rows; ++row) join_row(row, 0);
  } else {
    threads.parallel_for_thread(rows, join_row);
  }
}

}  // namespace bitloom

#include "forward/attention/attention.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "forward/attention/kept_tile.h"
#include "forward/attention/softmax.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

// Rows of one score tile: query rows times the query heads that share a key head. Large enough for the packing of keys
// to pay in sgemm, small enough for a tile of 2048 keys (1 MiB) to stay in the second-level cache.
constexpr int64_t kTileRows = 128;

using Tile = AttentionTile;

// Rows of a pass that one thread puts into pages.
constexpr int64_t kKeptRows = 32;

void write_row(const HeadView& from, int64_t row, KvFormat format, int64_t heads, int64_t dim, std::byte* to) {
  for (int64_t head = 0; head < heads; ++head, to += kv_head_bytes(format, dim)) {
    write_kv_head(format, from.at(row, head), dim, to);
  }
}

// The sequence's own keys and values of positions [first, last) to where pages keep them.
void keep_rows(const AttentionCall& call, const PassSequence& sequence, int64_t first, int64_t last) {
  int64_t position = 0;
  for (const KvRun& run : call.pass->runs(sequence)) {
    const int64_t begin = std::max(position, first), end = std::min(position + run.rows, last);
    if (begin < end && !run.page.empty()) {
      const auto& [keys, values, format] = run.page[static_cast<size_t>(call.block)];
      const int64_t key_bytes = call.kv_heads * kv_head_bytes(format, call.head_dim);
      const int64_t value_bytes = call.kv_heads * kv_head_bytes(format, call.values());
      for (int64_t p = begin; p < end; ++p) {
        const int64_t own = sequence.first_row + p - sequence.position, row = run.first + p - position;
        write_row(call.k, own, format, call.kv_heads, call.head_dim, keys + row * key_bytes);
        write_row(call.v, own, format, call.kv_heads, call.values(), values + row * value_bytes);
      }
    }
    position += run.rows;
  }
}

void keep_rows(const AttentionCall& call, ThreadPool& threads) {
  for (const PassSequence& sequence : call.pass->sequences()) {
    assert(call.mask == Mask::kCausal || sequence.position == 0);
    threads.parallel_for_thread((sequence.rows + kKeptRows - 1) / kKeptRows, [&call, &sequence](int64_t piece, int) {
      const int64_t first = sequence.position + piece * kKeptRows;
      keep_rows(call, sequence, first, std::min(first + kKeptRows, sequence.keys()));
    });
  }
}

// First key that the query at `position` sees.
int64_t first_visible(const AttentionCall& call, int64_t position) {
  return call.window > 0 ? std::max<int64_t>(0, position - call.window + 1) : 0;
}

// One past the last key that the query at `position` sees, of `keys`.
int64_t end_visible(const AttentionCall& call, int64_t position, int64_t keys) {
  if (call.mask == Mask::kCausal) return position + 1;
  return call.window > 0 ? std::min(keys, position + call.window) : keys;
}

// The longest (last) queries first: the threads then finish together.
void make_tiles(const AttentionCall& call, std::vector<Tile>& tiles) {
  tiles.clear();
  const int64_t step = std::max<int64_t>(1, kTileRows / (call.heads / call.kv_heads));
  for (const PassSequence& sequence : call.pass->sequences()) {
    if (has_few_queries(call, sequence)) continue;
    for (int64_t begin = 0; begin < sequence.rows; begin += step) {
      const int64_t end = std::min(sequence.rows, begin + step), offset = sequence.position;
      tiles.push_back({&sequence, begin, end, first_visible(call, offset + begin),
                       end_visible(call, offset + end - 1, sequence.keys())});
    }
  }
  std::sort(tiles.begin(), tiles.end(), [](const Tile& a, const Tile& b) {
    if (a.last_key != b.last_key) return a.last_key > b.last_key;
    return a.sequence != b.sequence ? a.sequence < b.sequence : a.begin < b.begin;
  });
}

// Row g * (end - begin) + i of the tile is query begin + i of the g-th head of the group.
void gather_queries(const AttentionCall& call, const Tile& tile, float* out) {
  const int64_t group = call.heads / call.kv_heads;
  for (int64_t g = 0; g < group; ++g) {
    for (int64_t i = tile.begin; i < tile.end; ++i, out += call.head_dim) {
      const float* q = call.q.at(tile.sequence->first_row + i, tile.kv_head * group + g);
      std::copy_n(q, call.head_dim, out);
    }
  }
}

// Scores to unnormalised probabilities, keys that the query does not see to 0. Returns the sum of the row, the sink's
// share included. Probabilities that are rounded are normalised before that: the sum is 1.
float mask_and_exp(const AttentionCall& call, const Tile& tile, int64_t query, int64_t head, float* row) {
  const int64_t position = tile.position(query);
  const int64_t low = first_visible(call, position) - tile.first_key;
  const int64_t high = end_visible(call, position, tile.sequence->keys()) - tile.first_key;
  if (!call.alibi.empty()) {
    const float slope = call.alibi[static_cast<size_t>(head)];
    for (int64_t i = low; i < high; ++i) row[i] += slope * static_cast<float>(tile.first_key + i - position);
  }
  if (call.softcap > 0.0f) soft_cap(call.softcap, row + low, high - low);
  const float total = call.sinks.empty() ? exp_shifted(row + low, high - low)
                                         : exp_shifted(row + low, high - low, call.sinks[static_cast<size_t>(head)]);
  std::fill(row, row + low, 0.0f);
  std::fill(row + high, row + (tile.last_key - tile.first_key), 0.0f);
  if (call.probabilities == nullptr) return total;
  for (int64_t i = low; i < high; ++i) row[i] /= total;
  call.probabilities->round_row(row + low, high - low, row + low);
  return 1.0f;
}

void scatter_outputs(const AttentionCall& call, const Tile& tile, const float* values, const float* totals) {
  const int64_t group = call.heads / call.kv_heads, dim = call.values();
  for (int64_t g = 0; g < group; ++g) {
    for (int64_t i = tile.begin; i < tile.end; ++i, values += dim, ++totals) {
      const int64_t row = tile.sequence->first_row + i, head = tile.kv_head * group + g;
      float* out = call.out + (row * call.heads + head) * dim;
      const float inverse = 1.0f / *totals;
      for (int64_t c = 0; c < dim; ++c) out[c] = values[c] * inverse;
    }
  }
}

// body(run, its first row that the tile sees, the column of that row's key in the tile, rows seen) for every run
template <typename Body>
void for_runs(const AttentionCall& call, const Tile& tile, const Body& body) {
  int64_t position = 0;
  for (const KvRun& run : call.pass->runs(*tile.sequence)) {
    const int64_t low = std::max(position, tile.first_key), high = std::min(position + run.rows, tile.last_key);
    if (low < high) body(run, run.first + low - position, low - tile.first_key, high - low);
    position += run.rows;
  }
}

// One head's rows of a run as fp32.
struct HeadRows {
  const float* data;
  int64_t stride;
};

HeadRows own_rows(const HeadView& view, int64_t row, int64_t head) { return {view.at(row, head), view.row_stride}; }

// Those of a page, where they lie, or read into `out` [count, dim].
HeadRows kept_rows(const std::byte* rows, KvFormat format, int64_t row, int64_t count, int64_t heads, int64_t head,
                   int64_t dim, float* out) {
  if (format == KvFormat::kFp32)
    return {reinterpret_cast<const float*>(rows) + (row * heads + head) * dim, heads * dim};
  const int64_t bytes = kv_head_bytes(format, dim);
  for (int64_t i = 0; i < count; ++i) {
    read_kv_head(format, rows + ((row + i) * heads + head) * bytes, dim, out + i * dim);
  }
  return {out, dim};
}

HeadRows key_rows(const AttentionCall& call, const KvRun& run, int64_t row, int64_t count, int64_t head, float* out) {
  if (run.page.empty()) return own_rows(call.k, row, head);
  const KvRows& page = run.page[static_cast<size_t>(call.block)];
  return kept_rows(page.keys, page.format, row, count, call.kv_heads, head, call.head_dim, out);
}

HeadRows value_rows(const AttentionCall& call, const KvRun& run, int64_t row, int64_t count, int64_t head, float* out) {
  if (run.page.empty()) return own_rows(call.v, row, head);
  const KvRows& page = run.page[static_cast<size_t>(call.block)];
  return kept_rows(page.values, page.format, row, count, call.kv_heads, head, call.values(), out);
}

/// Null: the tile goes by matrix products.
TileAttentionKernel* kernel_for(const AttentionCall& call, const Tile& tile, Isa isa) {
  if (call.probabilities != nullptr) return nullptr;
  const TileAttentionEntry* entry = find_tile_attention(isa);
  return entry != nullptr && is_kept(call, *tile.sequence) ? entry->kernel : nullptr;
}

int64_t scratch_size(const AttentionCall& call, const std::vector<Tile>& tiles, Isa isa) {
  const int64_t widest = std::max(call.head_dim, call.values());
  int64_t largest = 0;
  for (const Tile& tile : tiles) {
    if (kernel_for(call, tile, isa) != nullptr) {
      largest = std::max(largest, kept_tile_scratch(call, tile));
      continue;
    }
    const int64_t rows = call.heads / call.kv_heads * (tile.end - tile.begin), keys = tile.last_key - tile.first_key;
    largest = std::max(largest, rows * (keys + call.head_dim + call.values() + 1) + keys * widest);
  }
  return largest;
}

void run_tile(const AttentionCall& call, const Tile& tile, float* scratch) {
  const int64_t queries = tile.end - tile.begin, rows = call.heads / call.kv_heads * queries, dim = call.head_dim;
  const int64_t keys = tile.last_key - tile.first_key, head = tile.kv_head, width = call.values();
  float* gathered = scratch;              // [rows, dim]
  float* values = gathered + rows * dim;  // [rows, width]
  float* totals = values + rows * width;  // [rows]
  float* scores = totals + rows;          // [rows, keys]
  float* read = scores + rows * keys;     // [rows of a run, dim or width]
  gather_queries(call, tile, gathered);
  for_runs(call, tile, [&](const KvRun& run, int64_t row, int64_t column, int64_t count) {
    const HeadRows k = key_rows(call, run, row, count, head, read);
    sgemm(Transpose::kNo, Transpose::kYes, rows, count, dim, call.scale, gathered, dim, k.data, k.stride, 0.0f,
          scores + column, keys);
  });
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t query = tile.begin + row % queries, query_head = head * (call.heads / call.kv_heads) + row / queries;
    totals[row] = mask_and_exp(call, tile, query, query_head, scores + row * keys);
  }
  for_runs(call, tile, [&](const KvRun& run, int64_t row, int64_t column, int64_t count) {
    const HeadRows v = value_rows(call, run, row, count, head, read);
    sgemm(Transpose::kNo, Transpose::kNo, rows, width, count, 1.0f, scores + column, keys, v.data, v.stride,
          column == 0 ? 0.0f : 1.0f, values, width);
  });
  scatter_outputs(call, tile, values, totals);
}

// Row of a tile, [heads of the key head, queries], as a query of the sequence and a head.
struct TileRow {
  int64_t query, head;
};

TileRow tile_row(const AttentionCall& call, const Tile& tile, int64_t row) {
  const int64_t queries = tile.end - tile.begin;
  return {tile.begin + row % queries, tile.kv_head * (call.heads / call.kv_heads) + row / queries};
}

// du <- dp, see attention_adjoint(), of one row; p its probabilities and u its scores before bias and cap. Returns what
// a sink gets.
double score_adjoint(const AttentionCall& call, const Tile& tile, int64_t row, const float* p, const float* u,
                     float* d) {
  const auto [query, head] = tile_row(call, tile, row);
  const int64_t keys = tile.last_key - tile.first_key, position = tile.position(query);
  double along = 0, total = 0;
  for (int64_t j = 0; j < keys; ++j) along += static_cast<double>(p[j]) * d[j], total += p[j];
  for (int64_t j = 0; j < keys; ++j) d[j] = p[j] * (d[j] - static_cast<float>(along));
  if (call.softcap > 0.0f) {
    const float slope = call.alibi.empty() ? 0.0f : call.alibi[static_cast<size_t>(head)];
    for (int64_t j = 0; j < keys; ++j) {
      const float biased = u[j] + slope * static_cast<float>(tile.first_key + j - position);
      const float t = std::tanh(biased / call.softcap);
      d[j] *= 1.0f - t * t;
    }
  }
  return -(1.0 - total) * along;
}

// Adds what the tile's queries give to dk and dv, and sets their dq.
void run_tile_adjoint(const AttentionCall& call, const AttentionGradients& gradients, const Tile& tile, double* sinks,
                      std::vector<float>& scratch) {
  const int64_t group = call.heads / call.kv_heads, rows = group * (tile.end - tile.begin), dim = call.head_dim;
  const int64_t keys = tile.last_key - tile.first_key, width = call.values();
  const int64_t first = tile.sequence->first_row, kv = tile.kv_head;
  scratch.resize(static_cast<size_t>(rows * (2 * dim + width + 3 * keys)));
  float *q = scratch.data(), *dq = q + rows * dim, *dout = dq + rows * dim, *p = dout + rows * width;
  float *u = p + rows * keys, *d = u + rows * keys;
  gather_queries(call, tile, q);
  for (int64_t row = 0; row < rows; ++row) {
    const auto [query, head] = tile_row(call, tile, row);
    std::copy_n(gradients.out + ((first + query) * call.heads + head) * width, width, dout + row * width);
  }
  const int64_t key = first + tile.first_key;  // row of the first
  const float *k = call.k.at(key, kv), *v = call.v.at(key, kv);
  sgemm(Transpose::kNo, Transpose::kYes, rows, keys, dim, call.scale, q, dim, k, call.k.row_stride, 0.0f, u, keys);
  std::copy_n(u, rows * keys, p);
  for (int64_t row = 0; row < rows; ++row) {
    const auto [query, head] = tile_row(call, tile, row);
    const float inverse = 1.0f / mask_and_exp(call, tile, query, head, p + row * keys);
    for (int64_t j = 0; j < keys; ++j) p[row * keys + j] *= inverse;
  }
  sgemm(Transpose::kNo, Transpose::kYes, rows, keys, width, 1.0f, dout, width, v, call.v.row_stride, 0.0f, d, keys);
  sgemm(Transpose::kYes, Transpose::kNo, keys, width, rows, 1.0f, p, keys, dout, width, 1.0f, gradients.v.at(key, kv),
        gradients.v.row_stride);
  for (int64_t row = 0; row < rows; ++row) {
    const double of_sink = score_adjoint(call, tile, row, p + row * keys, u + row * keys, d + row * keys);
    sinks[tile_row(call, tile, row).head] += of_sink;
  }
  sgemm(Transpose::kYes, Transpose::kNo, keys, dim, rows, call.scale, d, keys, q, dim, 1.0f, gradients.k.at(key, kv),
        gradients.k.row_stride);
  sgemm(Transpose::kNo, Transpose::kNo, rows, dim, keys, call.scale, d, keys, k, call.k.row_stride, 0.0f, dq, dim);
  for (int64_t row = 0; row < rows; ++row) {
    const auto [query, head] = tile_row(call, tile, row);
    std::copy_n(dq + row * dim, dim, gradients.q.at(first + query, head));
  }
}

}  // namespace

void attention_adjoint(const AttentionCall& call, const AttentionGradients& gradients, ThreadPool& threads) {
  std::vector<Tile> tiles;
  make_tiles(call, tiles);
  const std::vector<PassSequence>& sequences = call.pass->sequences();
  const auto pairs = static_cast<int64_t>(sequences.size()) * call.kv_heads;
  std::vector<double> sinks(static_cast<size_t>(static_cast<int64_t>(sequences.size()) * call.heads));
  // The tiles of a sequence and key head add to the same rows, one after the other.
  threads.parallel_for(pairs, [&](int64_t pair) {
    const PassSequence& sequence = sequences[static_cast<size_t>(pair / call.kv_heads)];
    const int64_t kv_head = pair % call.kv_heads;
    assert(sequence.position == 0);
    for (int64_t row = sequence.first_row; row < sequence.first_row + sequence.rows; ++row) {
      std::fill_n(gradients.k.at(row, kv_head), call.head_dim, 0.0f);
      std::fill_n(gradients.v.at(row, kv_head), call.values(), 0.0f);
    }
    std::vector<float> scratch;
    for (Tile tile : tiles) {
      if (tile.sequence != &sequence) continue;
      tile.kv_head = kv_head;
      run_tile_adjoint(call, gradients, tile, sinks.data() + pair / call.kv_heads * call.heads, scratch);
    }
  });
  if (gradients.sinks == nullptr || call.sinks.empty()) return;
  for (size_t i = 0; i < sinks.size(); ++i) gradients.sinks[i % static_cast<size_t>(call.heads)] += sinks[i];
}

bool is_kept(const AttentionCall& call, const PassSequence& sequence) {
  const std::span<const KvRun> runs = call.pass->runs(sequence);
  return call.mask == Mask::kCausal &&
         std::none_of(runs.begin(), runs.end(), [](const KvRun& run) { return run.page.empty(); });
}

void attention(const AttentionCall& call, AttentionScratch& scratch, ThreadPool& threads) {
  assert(call.heads % call.kv_heads == 0);
  keep_rows(call, threads);
  make_tiles(call, scratch.tiles);
  prepare_parts(call, scratch.few);
  const std::vector<Tile>& tiles = scratch.tiles;
  const size_t needed = static_cast<size_t>(scratch_size(call, tiles, scratch.isa));
  scratch.per_thread.resize(static_cast<size_t>(threads.thread_count()));
  for (std::vector<float>& buffer : scratch.per_thread) {
    if (buffer.size() < needed) buffer.resize(needed);
  }
  const int64_t pairs = static_cast<int64_t>(tiles.size()) * call.kv_heads;
  // Two references: as many as a std::function holds without allocating.
  threads.parallel_for_thread(pairs + scratch.few.pieces(), [&call, &scratch](int64_t index, int thread) {
    const int64_t piece = index - static_cast<int64_t>(scratch.tiles.size()) * call.kv_heads;
    if (piece >= 0) return attention_of_piece(call, scratch.few, scratch.isa, piece);
    Tile tile = scratch.tiles[static_cast<size_t>(index / call.kv_heads)];
    tile.kv_head = index % call.kv_heads;
    float* room = scratch.per_thread[static_cast<size_t>(thread)].data();
    if (TileAttentionKernel* kernel = kernel_for(call, tile, scratch.isa)) {
      attend_kept_tile(call, tile, kernel, room);
    } else {
      run_tile(call, tile, room);
    }
  });
  join_parts(call, scratch.few, threads);
}

}  // namespace bitloom

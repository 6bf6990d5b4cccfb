#include "round/scale/whole_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "base/error.h"
#include "round/scale/rank.h"
#include "round/scale/scale_constraint.h"

namespace bitloom {
namespace {

/// A map from floats to unsigned integers that keeps their order; the inverse.
uint32_t ordered(float x, bool magnitude) {
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude ? std::abs(x) : x + 0.0f);  // -0 becomes +0
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
float unordered(uint32_t key) { return std::bit_cast<float>((key & 0x80000000u) != 0 ? key & 0x7FFFFFFFu : ~key); }

/// How many keys share each value of their upper half, or, among keys with a given upper half, of their lower half.
std::vector<int64_t> histogram(const TileReader& tiles, bool magnitude, int upper) {
  std::vector<int64_t> total(1 << 16);
  std::mutex mutex;
  const int64_t cols = tiles.matrix().cols();
  tiles.for_each([&](int64_t, int64_t, int64_t rows, const float* w) {
    std::vector<uint32_t> counts(1 << 16);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const uint32_t key = ordered(w[i], magnitude);
      if (upper < 0) {
        ++counts[key >> 16];
      } else if (static_cast<int>(key >> 16) == upper) {
        ++counts[key & 0xFFFF];
      }
    }
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < counts.size(); ++i) total[i] += counts[i];
  });
  return total;
}

/// The bucket that holds the rank-th entry; rank becomes the rank within it.
int find_bucket(const std::vector<int64_t>& counts, int64_t& rank) {
  int bucket = 0;
  while (rank >= counts[static_cast<size_t>(bucket)]) rank -= counts[static_cast<size_t>(bucket++)];
  return bucket;
}

/// Exact order statistic in two passes and half a megabyte.
float value_of_rank(const TileReader& tiles, RankQuery query) {
  const int upper = find_bucket(histogram(tiles, query.magnitude, -1), query.rank);
  const int lower = find_bucket(histogram(tiles, query.magnitude, upper), query.rank);
  return unordered(static_cast<uint32_t>(upper) << 16 | static_cast<uint32_t>(lower));
}

/// The first scale with the smallest error over the matrix.
GroupScale least_error(const TileReader& tiles, const GroupQuantizer& quantizer, const std::vector<GroupScale>& scales,
                       double exponent, float unit, const float* importance) {
  if (scales.size() == 1) return scales[0];
  const int64_t cols = tiles.matrix().cols();
  std::vector<std::vector<double>> errors(static_cast<size_t>(tiles.tiles()));
  tiles.for_each([&](int64_t tile, int64_t, int64_t rows, const float* w) {
    const WeightGroup group{w, rows, cols, cols, importance};
    for (const GroupScale& scale : scales) {
      errors[static_cast<size_t>(tile)].push_back(quantizer.error(group, scale, exponent, unit));
    }
  });
  std::vector<double> sums(scales.size());
  for (const auto& tile : errors) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += tile[i];
  }
  return scales[static_cast<size_t>(std::min_element(sums.begin(), sums.end()) - sums.begin())];
}

}  // namespace

TileReader::TileReader(const std::string& name, const RowSource& w, int64_t group_rows, ThreadPool& threads)
    : name_(name), w_(w), threads_(threads) {
  const int64_t rows = std::max<int64_t>(kTileWeights / std::max<int64_t>(w.cols(), 1), 1);
  tile_rows_ = std::max<int64_t>(rows / group_rows, 1) * group_rows;
  tiles_ = (w.rows() + tile_rows_ - 1) / tile_rows_;
}

void TileReader::check_finite(const float* w, int64_t first, int64_t rows) const {
  const int64_t count = rows * w_.cols();
  uint32_t bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    bad |= (std::bit_cast<uint32_t>(w[i]) & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
  }
  if (bad == 0) return;
  const int64_t i = std::find_if(w, w + count, [](float x) { return !std::isfinite(x); }) - w;
  refuse("{}: weight [{}, {}] is {}; only finite weights can be quantized", name_, first + i / w_.cols(), i % w_.cols(),
         w[i]);
}

void TileReader::for_each(
    const std::function<void(int64_t tile, int64_t first, int64_t rows, const float* w)>& visit) const {
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads_.thread_count()));
  threads_.parallel_for_thread(tiles_, [&](int64_t tile, int thread) {
    const int64_t first = tile * tile_rows_, last = std::min(first + tile_rows_, w_.rows());
    std::vector<float>& rows = scratch[static_cast<size_t>(thread)];
    rows.resize(static_cast<size_t>((last - first) * w_.cols()));
    w_.decode_rows(first, last, rows.data());
    check_finite(rows.data(), first, last - first);
    visit(tile, first, last - first, rows.data());
  });
}

std::vector<float> TileReader::decode_all() const {
  std::vector<float> values(static_cast<size_t>(w_.rows() * w_.cols()));
  for_each([&](int64_t, int64_t first, int64_t rows, const float* tile) {
    std::copy(tile, tile + rows * w_.cols(), values.begin() + first * w_.cols());
  });
  return values;
}

WeightRange range_of_matrix(const TileReader& tiles) {
  std::vector<WeightRange> ranges(static_cast<size_t>(tiles.tiles()));
  const int64_t cols = tiles.matrix().cols();
  tiles.for_each([&](int64_t tile, int64_t, int64_t rows, const float* w) {
    ranges[static_cast<size_t>(tile)] = full_range({w, rows, cols, cols, nullptr});
  });
  WeightRange whole;
  for (const WeightRange& range : ranges) {
    whole = {std::min(whole.low, range.low), std::max(whole.high, range.high)};
  }
  return whole;
}

GroupScale choose_for_matrix(const TileReader& tiles, const GroupQuantizer& quantizer, const float* importance) {
  const GridTarget& target = quantizer.target();
  WeightRange range = range_of_matrix(tiles);
  if (range.is_zero()) return quantizer.scale_for(range);
  const float unit = std::max(range.high, -range.low);
  GroupScale scale;
  if (target.search.range.searches()) {
    const bool clips = target.search.range.kind == RangeRule::Kind::kClip;
    const double exponent = clips ? target.search.range.clip_exponent : 2;
    scale = least_error(tiles, quantizer, quantizer.candidates(range), exponent, unit, importance);
  } else {
    if (target.search.range.kind == RangeRule::Kind::kPercentile) {
      std::vector<float> found;
      for (const RankQuery& query : percentile_queries(target, tiles.matrix().rows() * tiles.matrix().cols())) {
        found.push_back(value_of_rank(tiles, query));
      }
      range = clip_range(range, found, target.storage.asymmetric);
    }
    scale = quantizer.scale_for(range);
  }
  return least_error(tiles, quantizer, constraint_options(quantizer, scale, scale.stored), 2, unit, importance);
}

}  // namespace bitloom

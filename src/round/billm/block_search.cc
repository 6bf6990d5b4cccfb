#include "round/billm/block_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/simd/vector_clones.h"

namespace bitloom {
namespace {

constexpr int64_t kLanes = 16;  // rows that are searched side by side
constexpr int64_t kSlab = 256;  // rows that one thread takes

/// Some columns of 16 rows, [columns][16], and their weights; rows beyond the matrix are zero.
struct Tile {
  std::vector<float> w, h;
  int64_t cols() const { return static_cast<int64_t>(h.size()); }
};

void load(const SearchBlock& block, const std::vector<int64_t>& columns, int64_t row, Tile& tile) {
  const int64_t count = std::min(kLanes, block.rows - row);
  tile.w.assign(columns.size() * kLanes, 0);
  tile.h.clear();
  for (size_t c = 0; c < columns.size(); ++c) {
    std::copy_n(block.w + columns[c] * block.rows + row, count, tile.w.begin() + static_cast<int64_t>(c) * kLanes);
    tile.h.push_back(block.h[static_cast<size_t>(columns[c])]);
  }
}

/// Errors of 16 rows' columns [first, last) as binarized by so many planes, added to `errors`.
BITLOOM_VECTOR_CLONES void add_plane_errors(const float* w, const float* h, int64_t first, int64_t last, int planes,
                                            bool zero_mean, float* errors) {
  float mass = 0, mu[kLanes] = {}, absolute[kLanes] = {}, square[kLanes] = {}, signs[kLanes] = {};
  for (int64_t c = first; c < last; ++c) mass += h[c];
  if (mass <= 0) return;
  if (!zero_mean) {
    for (int64_t c = first; c < last; ++c) {
      for (int64_t l = 0; l < kLanes; ++l) mu[l] += h[c] * w[c * kLanes + l];
    }
    for (int64_t l = 0; l < kLanes; ++l) mu[l] /= mass;
  }
  for (int64_t c = first; c < last; ++c) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const float d = w[c * kLanes + l] - mu[l], a = d < 0 ? -d : d;
      absolute[l] += h[c] * a, square[l] += h[c] * d * d, signs[l] += d < 0 ? -h[c] : h[c];
    }
  }
  float alpha[kLanes], second_mu[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) {
    alpha[l] = absolute[l] / mass;
    square[l] -= alpha[l] * alpha[l] * mass;
    // The residual's weighted mean: sum h d is 0 with means, sum h w without, where it is not subtracted.
    second_mu[l] = zero_mean ? 0 : -alpha[l] * signs[l] / mass;
  }
  if (planes == 2) {
    float second[kLanes] = {};
    for (int64_t c = first; c < last; ++c) {
      for (int64_t l = 0; l < kLanes; ++l) {
        const float d = w[c * kLanes + l] - mu[l], r = (d < 0 ? d + alpha[l] : d - alpha[l]) - second_mu[l];
        second[l] += h[c] * (r < 0 ? -r : r);
      }
    }
    for (int64_t l = 0; l < kLanes; ++l) {
      square[l] -= mass * (second_mu[l] * second_mu[l]) + second[l] * second[l] / mass;
    }
  }
  for (int64_t l = 0; l < kLanes; ++l) errors[l] += square[l] > 0 ? square[l] : 0;
}

/// Errors of 16 rows whose weights below `bound` [16] in magnitude are one group and the others another.
BITLOOM_VECTOR_CLONES void split_error(const float* w, const float* h, int64_t cols, const float* bound, bool zero_mean,
                                       float* errors) {
  float mass[kLanes] = {}, sum[kLanes] = {}, all_mass = 0, all_sum[kLanes] = {};
  for (int64_t c = 0; c < cols; ++c) {
    all_mass += h[c];
    for (int64_t l = 0; l < kLanes; ++l) {
      const float x = w[c * kLanes + l], a = x < 0 ? -x : x, inner = a < bound[l] ? h[c] : 0.0f;
      mass[l] += inner, sum[l] += inner * x, all_sum[l] += h[c] * x;
    }
  }
  float inner_mu[kLanes], outer_mu[kLanes], outer_mass[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) {
    outer_mass[l] = all_mass - mass[l];
    inner_mu[l] = zero_mean || mass[l] <= 0 ? 0 : sum[l] / mass[l];
    outer_mu[l] = zero_mean || outer_mass[l] <= 0 ? 0 : (all_sum[l] - sum[l]) / outer_mass[l];
  }
  float inner_absolute[kLanes] = {}, outer_absolute[kLanes] = {}, square[kLanes] = {};
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const float x = w[c * kLanes + l], a = x < 0 ? -x : x;
      const bool inner = a < bound[l];
      const float d = x - (inner ? inner_mu[l] : outer_mu[l]), size = h[c] * (d < 0 ? -d : d);
      inner_absolute[l] += inner ? size : 0.0f, outer_absolute[l] += inner ? 0.0f : size;
      square[l] += h[c] * d * d;
    }
  }
  for (int64_t l = 0; l < kLanes; ++l) {
    if (mass[l] > 0) square[l] -= inner_absolute[l] * inner_absolute[l] / mass[l];
    if (outer_mass[l] > 0) square[l] -= outer_absolute[l] * outer_absolute[l] / outer_mass[l];
    errors[l] = square[l] > 0 ? square[l] : 0;
  }
}

/// Sums over tiles of 16 rows of what add(tile, first row, sums) adds, in the order of the rows.
std::vector<double> sum_over_tiles(const SearchBlock& block, const std::vector<int64_t>& columns, size_t candidates,
                                   ThreadPool& threads,
                                   const std::function<void(const Tile&, int64_t, std::vector<double>&)>& add) {
  const int64_t slabs = (block.rows + kSlab - 1) / kSlab;
  std::vector<std::vector<double>> sums(static_cast<size_t>(slabs), std::vector<double>(candidates, 0));
  threads.parallel_for(slabs, [&](int64_t slab) {
    Tile tile;
    for (int64_t row = slab * kSlab; row < std::min(block.rows, (slab + 1) * kSlab); row += kLanes) {
      if (row / kLanes % block.tile_step != 0) continue;
      load(block, columns, row, tile);
      add(tile, row, sums[static_cast<size_t>(slab)]);
    }
  });
  std::vector<double> total(candidates, 0);
  for (const std::vector<double>& part : sums) {
    for (size_t i = 0; i < candidates; ++i) total[i] += part[i];
  }
  return total;
}

std::vector<int64_t> other_columns(const std::vector<uint8_t>& salient) {
  std::vector<int64_t> columns;
  for (size_t c = 0; c < salient.size(); ++c) {
    if (salient[c] == 0) columns.push_back(static_cast<int64_t>(c));
  }
  return columns;
}

double sum_of(const float* lanes) { return std::accumulate(lanes, lanes + kLanes, 0.0); }

}  // namespace

std::vector<double> salient_errors(const SearchBlock& block, const std::vector<int64_t>& ranked, int64_t most,
                                   SearchPlanes planes, ThreadPool& threads) {
  return sum_over_tiles(
      block, ranked, static_cast<size_t>(most + 1), threads, [&](const Tile& tile, int64_t, std::vector<double>& sums) {
        for (int64_t m = 0; m <= most; ++m) {
          float errors[kLanes] = {};
          add_plane_errors(tile.w.data(), tile.h.data(), 0, m, planes.salient, block.zero_mean, errors);
          add_plane_errors(tile.w.data(), tile.h.data(), m, tile.cols(), planes.others, block.zero_mean, errors);
          sums[static_cast<size_t>(m)] += sum_of(errors);
        }
      });
}

std::vector<double> split_errors(const SearchBlock& block, const std::vector<uint8_t>& salient,
                                 const std::vector<float>& thresholds, const std::vector<float>& row_scales,
                                 ThreadPool& threads) {
  return sum_over_tiles(block, other_columns(salient), thresholds.size(), threads,
                        [&](const Tile& tile, int64_t row, std::vector<double>& sums) {
                          float scales[kLanes], bounds[kLanes], errors[kLanes];
                          for (int64_t l = 0; l < kLanes; ++l) {
                            const bool has = !row_scales.empty() && row + l < block.rows;
                            scales[l] = has ? row_scales[static_cast<size_t>(row + l)] : 1.0f;
                          }
                          for (size_t i = 0; i < thresholds.size(); ++i) {
                            for (int64_t l = 0; l < kLanes; ++l) bounds[l] = thresholds[i] * scales[l];
                            split_error(tile.w.data(), tile.h.data(), tile.cols(), bounds, block.zero_mean, errors);
                            sums[i] += sum_of(errors);
                          }
                        });
}

std::vector<float> split_thresholds(const SearchBlock& block, const std::vector<uint8_t>& salient,
                                    const std::vector<float>& row_scales, bool counts_salient) {
  constexpr int kFirst = 10, kLast = 90;
  std::vector<float> keys;
  for (int64_t c = 0; c < block.cols; ++c) {
    const bool is_salient = salient[static_cast<size_t>(c)] != 0;
    if (is_salient && !counts_salient) continue;
    for (int64_t r = 0; r < block.rows; ++r) {
      if (r / kLanes % block.tile_step != 0) continue;
      const float scale = row_scales.empty() ? 1.0f : row_scales[static_cast<size_t>(r)];
      keys.push_back(is_salient || scale == 0 ? 0.0f : std::abs(block.w[c * block.rows + r]) / scale);
    }
  }
  std::sort(keys.begin(), keys.end());
  std::vector<float> thresholds;
  for (int percent = kFirst; percent <= kLast && !keys.empty(); ++percent) {
    thresholds.push_back(keys[(keys.size() - 1) * static_cast<size_t>(percent) / 100]);
  }
  return thresholds;
}

}  // namespace bitloom

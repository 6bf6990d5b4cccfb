// Nearest rounding on any grid: the index of y is the number of thresholds <= y.
#include <algorithm>
#include <cmath>
#include <utility>

#include "format/format.h"

namespace bitloom {
namespace {

constexpr int64_t kBlock = 64;     // numbers at a time, so that the loop over thresholds vectorises across numbers
constexpr size_t kFewLevels = 16;  // up to here counting all thresholds beats a search

class SearchEncoder final : public ArrayEncoder {
 public:
  SearchEncoder(Grid grid, Ties ties) : grid_(std::move(grid)), thresholds_(rounding_thresholds(grid_, ties)) {
    const auto zero = std::find(grid_.levels.begin(), grid_.levels.end(), 0.0f);
    if (zero != grid_.levels.end() && grid_.negative_zero >= 0) {
      zero_index_ = static_cast<int32_t>(zero - grid_.levels.begin());
    }
  }

  void encode(const float* y, int64_t n, uint8_t* codes) const override {
    int32_t index[kBlock];
    for (int64_t at = 0; at < n; at += kBlock) {
      const int64_t count = std::min(kBlock, n - at);
      find_indices(y + at, count, index);
      for (int64_t i = 0; i < count; ++i) codes[at + i] = grid_.codes[static_cast<size_t>(index[i])];
      if (zero_index_ < 0) continue;
      for (int64_t i = 0; i < count; ++i) {
        if (index[i] == zero_index_ && std::signbit(y[at + i]))
          codes[at + i] = static_cast<uint8_t>(grid_.negative_zero);
      }
    }
  }

  void snap(const float* y, int64_t n, float* levels) const override {
    int32_t index[kBlock];
    for (int64_t at = 0; at < n; at += kBlock) {
      const int64_t count = std::min(kBlock, n - at);
      find_indices(y + at, count, index);
      for (int64_t i = 0; i < count; ++i) levels[at + i] = grid_.levels[static_cast<size_t>(index[i])];
    }
  }

 private:
  void find_indices(const float* y, int64_t n, int32_t* index) const {
    if (grid_.levels.size() <= kFewLevels) {
      std::fill(index, index + n, 0);
      for (const float t : thresholds_) {
        for (int64_t i = 0; i < n; ++i) index[i] += y[i] >= t ? 1 : 0;
      }
    } else {
      for (int64_t i = 0; i < n; ++i) index[i] = search(y[i]);
    }
  }

  /// Number of thresholds <= y by halving, without a branch that depends on y.
  int32_t search(float y) const {
    const float* base = thresholds_.data();
    size_t left = thresholds_.size();
    while (left > 1) {
      const size_t half = left / 2;
      base = base[half - 1] <= y ? base + half : base;
      left -= half;
    }
    return static_cast<int32_t>(base - thresholds_.data()) + (*base <= y ? 1 : 0);
  }

  Grid grid_;
  std::vector<float> thresholds_;
  int32_t zero_index_ = -1;
};

}  // namespace

std::unique_ptr<const ArrayEncoder> make_search_encoder(Grid grid, Ties ties) {
  return std::make_unique<SearchEncoder>(std::move(grid), ties);
}

}  // namespace bitloom

#include "round/column_loop/grid_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/vector_clones.h"
#include "round/scale/scale_constraint.h"

namespace bitloom {
namespace {

BITLOOM_VECTOR_CLONES void divide(const float* w, const float* divisor, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = w[i] / divisor[i];
}

BITLOOM_VECTOR_CLONES void multiply(float* y, const float* factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] *= factor[i];
}

BITLOOM_VECTOR_CLONES float largest_magnitude(const float* w, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float magnitude = w[i] < 0 ? -w[i] : w[i];
    most = magnitude > most ? magnitude : most;
  }
  return most;
}

}  // namespace

GridColumns::GridColumns(const GroupQuantizer& quantizer, const ColumnGroups& groups, int64_t rows,
                         const float* importance)
    : quantizer_(quantizer),
      groups_(groups),
      rows_(rows),
      importance_(importance),
      scales_(static_cast<size_t>(groups.groups * rows)),
      codes_(groups.order->size() * static_cast<size_t>(rows)),
      y_(static_cast<size_t>(rows)),
      divisor_(static_cast<size_t>(rows)),
      multiplier_(static_cast<size_t>(rows)) {}

// Rows of the group are gathered from the columns, since a group's weights lie `rows` apart.
void GridColumns::begin_group(int64_t begin, int64_t end, const float* columns) {
  if (!groups_.fitted) return;
  const int64_t g = groups_.group_of(begin), width = end - begin;
  gathered_.resize(static_cast<size_t>(width));
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t c = 0; c < width; ++c) gathered_[static_cast<size_t>(c)] = columns[c * rows_ + r];
    const WeightGroup weights{gathered_.data(), 1, width, width,
                              importance_ == nullptr ? nullptr : importance_ + begin};
    std::vector<GroupScale> chosen = {quantizer_.choose(weights)};
    constrain_row(quantizer_, {weights}, chosen);
    scale(g, r) = chosen[0];
  }
  loaded_ = -1;
}

void GridColumns::load_scales_of(int64_t g) {
  for (int64_t r = 0; r < rows_; ++r) {
    const float scale_value = scale(g, r).scale;
    // A group of zeros has scale 0: dividing by infinity sends every weight to the zero level.
    divisor_[static_cast<size_t>(r)] = scale_value == 0 ? std::numeric_limits<float>::infinity() : scale_value;
    multiplier_[static_cast<size_t>(r)] = scale_value;
  }
  loaded_ = g;
}

void GridColumns::quantize_column(int64_t position, const float* w, float* q) {
  const int64_t g = groups_.group_of(position);
  if (g != loaded_) load_scales_of(g);
  divide(w, divisor_.data(), y_.data(), rows_);
  largest_ = std::max(largest_, largest_magnitude(w, rows_));
  saturated_ +=
      quantizer_.encode_scaled(y_.data(), rows_, scales_.data() + g * rows_, codes_.data() + position * rows_, q);
  multiply(q, multiplier_.data(), rows_);
}

}  // namespace bitloom

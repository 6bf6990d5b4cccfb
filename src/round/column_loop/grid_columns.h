#pragma once
// The column policy of scaled grids: each weight to the nearest level of its row's grid, scales given or fitted when
// their group begins.

#include <memory>
#include <vector>

#include "round/column_loop/column_loop.h"
#include "round/scale/group_quantizer.h"

namespace bitloom {

/// How columns, in the order of the loop, belong to groups of scales.
struct ColumnGroups {
  const std::vector<int64_t>* order = nullptr;  // position -> column
  int64_t group_cols = 1;                       // columns per group
  int64_t groups = 1;
  bool fitted = false;  // scales are fitted by begin_group; then every run of group_cols positions is one group
  int64_t group_of(int64_t position) const { return (*order)[static_cast<size_t>(position)] / group_cols; }
};

class GridColumns final : public ColumnPolicy {
 public:
  /// `importance` [columns by position] or null: weights of the clip search.
  GridColumns(const GroupQuantizer& quantizer, const ColumnGroups& groups, int64_t rows, const float* importance);

  /// The scale of group g for row r: set before the loop (not fitted), or read after it.
  GroupScale& scale(int64_t g, int64_t r) { return scales_[static_cast<size_t>(g * rows_ + r)]; }
  /// codes [positions, rows], valid after the loop.
  const uint8_t* codes(int64_t position) const { return codes_.data() + position * rows_; }
  /// The weights [rows] that they stand for.
  void decode_column(int64_t position, float* weights) const {
    quantizer_.decode_scaled(codes(position), rows_, scales_.data() + groups_.group_of(position) * rows_, weights);
  }
  int64_t saturated() const { return saturated_; }
  float largest() const { return largest_; }  // magnitude of any column's compensated weight

  int64_t group() const override { return groups_.fitted ? groups_.group_cols : 1; }
  void begin_group(int64_t begin, int64_t end, const float* columns) override;
  void quantize_column(int64_t position, const float* w, float* q) override;

 private:
  void load_scales_of(int64_t g);

  const GroupQuantizer& quantizer_;
  ColumnGroups groups_;
  int64_t rows_;
  const float* importance_;
  std::vector<GroupScale> scales_;  // [groups, rows]
  std::vector<uint8_t> codes_;      // [positions, rows]
  std::vector<float> y_, divisor_, multiplier_, gathered_;
  int64_t loaded_ = -1;  // group whose scales are in divisor_ and multiplier_
  int64_t saturated_ = 0;
  float largest_ = 0;
};

}  // namespace bitloom

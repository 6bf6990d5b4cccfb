#pragma once
// A tile of rows through the column loop: internal to error feedback (round/feedback.h).

#include <optional>
#include <vector>

#include "round/feedback.h"
#include "round/grid_columns.h"

namespace bitloom {

class FeedbackTiles {
 public:
  /// Everything is referred to and must outlive this. `measured`: errors are wanted, not only codes.
  FeedbackTiles(const RowSource& w, const FeedbackBase& base, const FeedbackFactor& factor, bool measured);

  /// At most kFeedbackTileRows rows, as a part of one tile. May run concurrently.
  FeedbackPart solve(RowRange rows) const;

 private:
  void load_columns(const std::vector<float>& original, int64_t rows, std::vector<float>& columns) const;
  void load_scales(RowRange rows, GridColumns& policy) const;
  void take_results(GridColumns& policy, FeedbackPart& part) const;
  void measure(const std::vector<float>& original, GridColumns& policy, int64_t rows, std::vector<float>& scratch,
               FeedbackTile& tile) const;

  const RowSource& w_;
  const StoredMatrix& nearest_;
  const FeedbackFactor& factor_;
  bool measured_;
  GridTarget target_;
  int64_t group_rows_ = 1;
  ColumnGroups groups_;
  ColumnFeedback feedback_;
  std::optional<GroupQuantizer> quantizer_;
  std::vector<float> importance_;
};

}  // namespace bitloom

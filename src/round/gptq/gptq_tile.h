#pragma once
// A tile of rows through the column loop: internal to error feedback (round/gptq/gptq.h).

#include <optional>
#include <vector>

#include "round/column_loop/grid_columns.h"
#include "round/gptq/gptq.h"

namespace bitloom {

class GptqTiles {
 public:
  /// Everything is referred to and must outlive this. `measured`: errors are wanted, not only codes.
  GptqTiles(const RowSource& w, const GptqBase& base, const GptqFactor& factor, bool measured);

  /// At most kGptqTileRows rows, as a part of one tile. May run concurrently.
  GptqPart solve(RowRange rows) const;

 private:
  void load_columns(const std::vector<float>& original, int64_t rows, std::vector<float>& columns) const;
  void load_scales(RowRange rows, GridColumns& policy) const;
  void take_results(GridColumns& policy, GptqPart& part) const;
  void measure(const std::vector<float>& original, GridColumns& policy, int64_t rows, std::vector<float>& scratch,
               GptqTile& tile) const;

  const RowSource& w_;
  const StoredMatrix& nearest_;
  const GptqFactor& factor_;
  bool measured_;
  GridTarget target_;
  int64_t group_rows_ = 1;
  ColumnGroups groups_;
  ColumnFeedback feedback_;
  std::optional<GroupQuantizer> quantizer_;
  std::vector<float> importance_;
};

}  // namespace bitloom

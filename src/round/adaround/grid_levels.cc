#include "round/adaround/grid_levels.h"

#include <algorithm>

namespace bitloom {

GridLevels::GridLevels(const GridStorage& storage) : asymmetric_(storage.asymmetric) {
  Grid grid = grid_of(storage.format);
  levels_ = std::move(grid.levels);
  codes_ = std::move(grid.codes);
  decode_ = std::move(grid.decode);
  if (!asymmetric_) return;
  const int count = 1 << bits_of(storage.format);
  levels_.clear(), codes_.clear();
  for (int code = 0; code < count; ++code) {
    levels_.push_back(static_cast<float>(code));
    codes_.push_back(static_cast<uint8_t>(code));
  }
}

GridLevels::Enclosure GridLevels::enclose(float y, uint8_t zero) const {
  if (asymmetric_) y += static_cast<float>(zero);
  const int last = static_cast<int>(levels_.size()) - 1;
  const auto above = static_cast<int>(std::upper_bound(levels_.begin(), levels_.end(), y) - levels_.begin());
  return {std::max(above - 1, 0), std::min(above, last)};
}

}  // namespace bitloom

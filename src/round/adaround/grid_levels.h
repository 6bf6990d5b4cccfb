#pragma once
// The numbers a target's codes stand for, in units of the scale, as a sorted table: which two of them enclose a weight.

#include <cstdint>
#include <vector>

#include "round/target.h"

namespace bitloom {

class GridLevels {
 public:
  /// Symmetric: the format's finite levels. Asymmetric integers: 0 .. 2^b - 1, to be read less the zero point.
  explicit GridLevels(const GridStorage& storage);

  /// Indices of the greatest level <= y + zero and of the next level up; both the outermost one beyond it (and on the
  /// topmost level itself).
  struct Enclosure {
    int lower = 0, upper = 0;
  };
  Enclosure enclose(float y, uint8_t zero) const;

  /// The level less the zero point.
  float level(int index, uint8_t zero) const {
    return asymmetric_ ? levels_[static_cast<size_t>(index)] - static_cast<float>(zero)
                       : levels_[static_cast<size_t>(index)];
  }
  uint8_t code(int index) const { return codes_[static_cast<size_t>(index)]; }
  float level_of_code(uint8_t code, uint8_t zero) const {
    return asymmetric_ ? static_cast<float>(code - zero) : decode_[code];
  }

 private:
  bool asymmetric_;
  std::vector<float> levels_;
  std::vector<uint8_t> codes_;
  std::vector<float> decode_;
};

}  // namespace bitloom

#pragma once
// From values to pixels, with ticks at numbers that people count in.

#include <string>
#include <vector>

namespace bitloom {

struct Tick {
  double value = 0;
  std::string label;
};

/// Maps low..high to pixels from..to (in either direction), linearly or by logarithm.
struct Scale {
  double low = 0, high = 1;
  bool logarithmic = false;
  double from = 0, to = 1;
  std::vector<Tick> ticks;

  /// Whether a value has a place: finite, above zero on a logarithmic scale.
  bool shows(double value) const;
  /// Clamped to the scale's ends.
  double at(double value) const;
};

/// A scale that holds low..high, its ends on ticks, with at most `most` ticks (>= 2). Steps are 1, 2 or 5 times a power
/// of ten; on a logarithmic scale powers of ten, then 1-3, then 1-2-5 within each, and steps of a linear scale where
/// the range is narrow. Where low is not less than high the range is widened.
Scale nice_scale(double low, double high, bool logarithmic, int most);

/// "0.25", "1500", "10⁻⁶", "2.5×10⁷": with `decimals` digits between 1e-4 and 1e6.
std::string tick_label(double value, int decimals);

}  // namespace bitloom

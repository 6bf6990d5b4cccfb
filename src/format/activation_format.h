#pragma once
// How the activations that an input's readers read are rounded: a scalar format, and who shares a scale. Scales are
// dynamic: found in the very values they are for.

#include <cstdint>
#include <string>
#include <string_view>

#include "format/format.h"

namespace bitloom {

/// x [tokens, channels]:  x' = s * nearest_level(x / s),  s = max|x| / v_max  in fp32, over the values that share it;
/// v_max is the largest level that both signs have (127 of int8). Ties go to even.
struct ActivationFormat {
  enum class Granularity {
    kTensor,  // all tokens of a pass that the input's readers read
    kToken,
    kGroup,  // `group` neighbouring channels of a token (the last group may be shorter)
  };
  Format format = IntFormat{8, false};
  Granularity granularity = Granularity::kToken;
  int64_t group = 0;
  bool operator==(const ActivationFormat&) const = default;
};

/// FORMAT-token, FORMAT-tensor or FORMAT-gN: "int8-token", "e4m3fn-tensor", "int8-g128".
/// parse_activation_format(to_string(f)) == f. Error(kUsage) names the part, the allowed ones, the nearest spelling.
ActivationFormat parse_activation_format(std::string_view text);
std::string to_string(const ActivationFormat& format);

}  // namespace bitloom

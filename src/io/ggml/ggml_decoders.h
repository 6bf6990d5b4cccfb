#pragma once
// Decoders of ggml's quantized blocks, one per type; ggml_types.cc lists them. Private to io/.
// All take any alignment, and halves are IEEE binary16, little-endian.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/memory/dtype.h"

namespace bitloom::ggml {

using Decoder = void(const std::byte* data, int64_t blocks, float* out);

// ggml_simple_quants.cc: 32 elements under one scale.
Decoder decode_q4_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q8_0, decode_iq4_nl, decode_mxfp4;
// ggml_k_quants.cc: 256 elements, scales of sub-blocks under a scale.
Decoder decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k, decode_iq4_xs;

/// IQ4_NL's and IQ4_XS's levels.
inline constexpr float kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

inline float load_half(const std::byte* at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}
inline const uint8_t* as_bytes(const std::byte* at) { return reinterpret_cast<const uint8_t*>(at); }

}  // namespace bitloom::ggml

#include <bit>

#include "io/ggml/ggml_decoders.h"

// Element j of a block, for j < 16, has the low nibble of qs[j]; element j + 16 the high one.

namespace bitloom::ggml {
namespace {

/// out[j] = table[nibble j].
void look_up_nibbles(const uint8_t* qs, const float* table, float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = table[qs[j] & 15];
    out[j + 16] = table[qs[j] >> 4];
  }
}

/// q[j] = nibble j + 16 * bit j of `high`.
void join_5_bits(const uint8_t* qs, uint32_t high, int* q) {
  for (int j = 0; j < 16; ++j) {
    q[j] = (qs[j] & 15) | static_cast<int>((high >> j & 1) << 4);
    q[j + 16] = (qs[j] >> 4) | static_cast<int>((high >> (j + 16) & 1) << 4);
  }
}

}  // namespace

/// { half d; u8 qs[16] }: (q - 8) d.
void decode_q4_0(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 18, out += 32) {
    const float d = load_half(data);
    const uint8_t* qs = as_bytes(data + 2);
    for (int j = 0; j < 16; ++j) out[j] = d * static_cast<float>((qs[j] & 15) - 8);
    for (int j = 0; j < 16; ++j) out[j + 16] = d * static_cast<float>((qs[j] >> 4) - 8);
  }
}

/// { half d; half m; u8 qs[16] }: q d + m.
void decode_q4_1(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 20, out += 32) {
    const float d = load_half(data), m = load_half(data + 2);
    const uint8_t* qs = as_bytes(data + 4);
    for (int j = 0; j < 16; ++j) out[j] = d * static_cast<float>(qs[j] & 15) + m;
    for (int j = 0; j < 16; ++j) out[j + 16] = d * static_cast<float>(qs[j] >> 4) + m;
  }
}

/// { half d; u32 qh; u8 qs[16] }: (q - 16) d, q of five bits.
void decode_q5_0(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 22, out += 32) {
    const float d = load_half(data);
    uint32_t high = 0;
    std::memcpy(&high, data + 2, sizeof high);
    int q[32];
    join_5_bits(as_bytes(data + 6), high, q);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j] - 16);
  }
}

/// { half d; half m; u32 qh; u8 qs[16] }: q d + m, q of five bits.
void decode_q5_1(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 24, out += 32) {
    const float d = load_half(data), m = load_half(data + 2);
    uint32_t high = 0;
    std::memcpy(&high, data + 4, sizeof high);
    int q[32];
    join_5_bits(as_bytes(data + 8), high, q);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j]) + m;
  }
}

/// { half d; i8 qs[32] }: q d.
void decode_q8_0(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 34, out += 32) {
    const float d = load_half(data);
    const auto* qs = reinterpret_cast<const int8_t*>(data + 2);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(qs[j]);
  }
}

/// { half d; u8 qs[16] }: d level[q].
void decode_iq4_nl(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 18, out += 32) {
    const float d = load_half(data);
    float table[16];
    for (int i = 0; i < 16; ++i) table[i] = d * kIq4Levels[i];
    look_up_nibbles(as_bytes(data + 2), table, out);
  }
}

/// { u8 e; u8 qs[16] }: 2^(e - 128) times twice the E2M1 value, whose code 8 (minus zero) is plus zero. e = 255, a NaN
/// in OCP's E8M0, is a scale like any other here.
void decode_mxfp4(const std::byte* data, int64_t blocks, float* out) {
  constexpr float kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  for (int64_t b = 0; b < blocks; ++b, data += 17, out += 32) {
    const uint32_t e = *as_bytes(data);
    // 2^-128 and 2^-127 are subnormal.
    const float d = std::bit_cast<float>(e < 2 ? uint32_t{0x00200000} << e : (e - 1) << 23);
    float table[16];
    for (int i = 0; i < 16; ++i) table[i] = d * kDoubled[i];
    look_up_nibbles(as_bytes(data + 1), table, out);
  }
}

}  // namespace bitloom::ggml

#include "io/ggml/ggml_decoders.h"

// 256 elements per block, in sub-blocks of 16 or 32; element i of the block is (n, k, l) = (i / 128, i % 128 / 32, i %
// 32).

namespace bitloom::ggml {
namespace {

/// Q4_K's and Q5_K's twelve bytes: eight pairs of six bits, the scale and the minimum of a sub-block of 32.
///   j < 4:  scale = s[j] & 63, min = s[j+4] & 63
///   j >= 4: scale = (s[j+4] & 15) | (s[j-4] >> 6) << 4, min = s[j+4] >> 4 | (s[j] >> 6) << 4
struct SixBitPairs {
  int scale[8];
  int min[8];
  explicit SixBitPairs(const uint8_t* s) {
    for (int j = 0; j < 4; ++j) {
      scale[j] = s[j] & 63;
      min[j] = s[j + 4] & 63;
      scale[j + 4] = (s[j + 8] & 15) | (s[j] >> 6) << 4;
      min[j + 4] = (s[j + 8] >> 4) | (s[j + 4] >> 6) << 4;
    }
  }
};

}  // namespace

/// { u8 scales[16]; u8 qs[64]; half d; half dmin }, per 16 elements: (d (s & 15)) q - dmin (s >> 4),
/// q = qs[32n + l] >> 2k & 3.
void decode_q2_k(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 84, out += 256) {
    const uint8_t* scales = as_bytes(data);
    const float d = load_half(data + 80), dmin = load_half(data + 82);
    for (int sub = 0; sub < 16; ++sub) {  // of 16 elements: l is 0..15 or 16..31
      const uint8_t* qs = as_bytes(data + 16) + 32 * (sub / 8) + 16 * (sub % 2);
      const int shift = sub % 8 / 2 * 2;
      const float scale = d * static_cast<float>(scales[sub] & 15), min = dmin * static_cast<float>(scales[sub] >> 4);
      for (int j = 0; j < 16; ++j) out[16 * sub + j] = scale * static_cast<float>(qs[j] >> shift & 3) - min;
    }
  }
}

/// { u8 hmask[32]; u8 qs[64]; u8 scales[12]; half d }, per 16 elements: (d (s - 32)) q,
/// q = (qs[32n + l] >> 2k & 3) - (bit i / 32 of hmask[l] ? 0 : 4); s of six bits, four low and two high.
void decode_q3_k(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 110, out += 256) {
    const uint8_t* packed = as_bytes(data + 96);
    const float d = load_half(data + 108);
    for (int sub = 0; sub < 16; ++sub) {
      const uint8_t* mask = as_bytes(data) + 16 * (sub % 2);
      const uint8_t* qs = as_bytes(data + 32) + 32 * (sub / 8) + 16 * (sub % 2);
      const int shift = sub % 8 / 2 * 2, bit = sub / 2;
      const int low = packed[sub % 8] >> (4 * (sub / 8)) & 15, high = packed[8 + sub % 4] >> (2 * (sub / 4)) & 3;
      const float scale = d * static_cast<float>((low | high << 4) - 32);
      for (int j = 0; j < 16; ++j) {
        const int q = (qs[j] >> shift & 3) + ((mask[j] >> bit & 1) << 2) - 4;
        out[16 * sub + j] = scale * static_cast<float>(q);
      }
    }
  }
}

/// { half d; half dmin; u8 scales[12]; u8 qs[128] }, per 32 elements: (d scale) q - dmin min; 64 elements share 32
/// bytes, low nibbles first.
void decode_q4_k(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 144, out += 256) {
    const float d = load_half(data), dmin = load_half(data + 2);
    const SixBitPairs pairs(as_bytes(data + 4));
    for (int sub = 0; sub < 8; ++sub) {
      const uint8_t* qs = as_bytes(data + 16) + 32 * (sub / 2);
      const int shift = 4 * (sub % 2);
      const float scale = d * static_cast<float>(pairs.scale[sub]), min = dmin * static_cast<float>(pairs.min[sub]);
      for (int j = 0; j < 32; ++j) out[32 * sub + j] = scale * static_cast<float>(qs[j] >> shift & 15) - min;
    }
  }
}

/// { half d; half dmin; u8 scales[12]; u8 qh[32]; u8 qs[128] }: as Q4_K, with the fifth bit in bit i / 32 of qh[l].
void decode_q5_k(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 176, out += 256) {
    const float d = load_half(data), dmin = load_half(data + 2);
    const SixBitPairs pairs(as_bytes(data + 4));
    const uint8_t* qh = as_bytes(data + 16);
    for (int sub = 0; sub < 8; ++sub) {
      const uint8_t* qs = as_bytes(data + 48) + 32 * (sub / 2);
      const int shift = 4 * (sub % 2);
      const float scale = d * static_cast<float>(pairs.scale[sub]), min = dmin * static_cast<float>(pairs.min[sub]);
      for (int j = 0; j < 32; ++j) {
        const int q = (qs[j] >> shift & 15) | (qh[j] >> sub & 1) << 4;
        out[32 * sub + j] = scale * static_cast<float>(q) - min;
      }
    }
  }
}

/// { u8 ql[128]; u8 qh[64]; i8 scales[16]; half d }, per 16 elements: (d s) (q - 32), q's low nibble from
/// ql[64n + l + 32(k & 1)] (the high half for k >= 2), its two high bits qh[32n + l] >> 2k & 3.
void decode_q6_k(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 210, out += 256) {
    const auto* scales = reinterpret_cast<const int8_t*>(data + 192);
    const float d = load_half(data + 208);
    for (int sub = 0; sub < 16; ++sub) {
      const int n = sub / 8, k = sub % 8 / 2, first = 16 * (sub % 2);
      const uint8_t* ql = as_bytes(data) + 64 * n + 32 * (k & 1) + first;
      const uint8_t* qh = as_bytes(data + 128) + 32 * n + first;
      const int low_shift = k < 2 ? 0 : 4, high_shift = 2 * k;
      const float scale = d * static_cast<float>(scales[sub]);
      for (int j = 0; j < 16; ++j) {
        const int q = ((ql[j] >> low_shift & 15) | (qh[j] >> high_shift & 3) << 4) - 32;
        out[16 * sub + j] = scale * static_cast<float>(q);
      }
    }
  }
}

/// { half d; u16 scales_h; u8 scales_l[4]; u8 qs[128] }, per 32 elements: (d (s - 32)) level[q], s of six bits, four
/// low and two high; 16 bytes per sub-block, low nibbles first.
void decode_iq4_xs(const std::byte* data, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, data += 136, out += 256) {
    const float d = load_half(data);
    uint16_t scales_h = 0;
    std::memcpy(&scales_h, data + 2, sizeof scales_h);
    const uint8_t* scales_l = as_bytes(data + 4);
    for (int sub = 0; sub < 8; ++sub) {
      const int low = scales_l[sub / 2] >> (4 * (sub % 2)) & 15, high = scales_h >> (2 * sub) & 3;
      const float scale = d * static_cast<float>((low | high << 4) - 32);
      float table[16];
      for (int i = 0; i < 16; ++i) table[i] = scale * kIq4Levels[i];
      const uint8_t* qs = as_bytes(data + 8) + 16 * sub;
      for (int j = 0; j < 16; ++j) {
        out[32 * sub + j] = table[qs[j] & 15];
        out[32 * sub + j + 16] = table[qs[j] >> 4];
      }
    }
  }
}

}  // namespace bitloom::ggml

#pragma once
// Vector steps of AVX2, and how codes become bytes. For sources compiled with -mavx2 -mfma -mf16c.

#include <array>
#include <cstring>

#include "kernels/int_dot/x86_blocks.h"
#include "kernels/int_dot/x86_loops.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

struct Avx2 {
  using Bytes = __m256i;
  using Int = __m256i;
  using Float = __m256;
  static constexpr int64_t kLanes = 8;

  static const __m256i* at(const void* p) { return static_cast<const __m256i*>(p); }
  static Bytes load(const int8_t* p) { return _mm256_loadu_si256(at(p)); }
  static Int load_int(const int32_t* p) { return _mm256_loadu_si256(at(p)); }
  static Float load_float(const float* p) { return _mm256_loadu_ps(p); }
  static Float zero() { return _mm256_setzero_ps(); }
  static Int zero_int() { return _mm256_setzero_si256(); }
  static Float set(float x) { return _mm256_set1_ps(x); }
  static Int set_int(int32_t x) { return _mm256_set1_epi32(x); }

  /// maddubs adds two products in 16 bits: 2 * 127 * 128 fits. Bytes of eight bits go by halves.
  template <bool kWide>
  static Int dot(Int a, Bytes u, Bytes s) {
    if constexpr (!kWide) {
      return _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
    }
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i low = _mm256_maddubs_epi16(_mm256_and_si256(u, mask), s);
    const __m256i high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(u, 4), mask), s);
    const __m256i fours =
        _mm256_add_epi32(_mm256_madd_epi16(high, _mm256_set1_epi16(16)), _mm256_madd_epi16(low, _mm256_set1_epi16(1)));
    return _mm256_add_epi32(a, fours);
  }
  static Int shift8(Int a) { return _mm256_slli_epi32(a, 8); }
  static Int add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int multiply(Int a, Int b) { return _mm256_mullo_epi32(a, b); }
  static Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static void widen_halves(const std::byte* p, int64_t count, float* out) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
      _mm256_store_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 2 * i))));
    if (i < count) {
      std::byte few[16] = {};
      std::memcpy(few, p + 2 * i, static_cast<size_t>(2 * (count - i)));
      _mm256_store_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(few))));
    }
    _mm256_storeu_ps(out + count, zero()), _mm256_storeu_ps(out + count + 8, zero());
  }
  static __m256 sums(const Float (&v)[8]) { return sums8(v); }
  static Float spread(const float* s, Int i) { return _mm256_permutevar8x32_ps(_mm256_loadu_ps(s), i); }
  /// As Avx512's.
  static Int groups_of(int32_t first, int32_t lane_columns, int32_t group) {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i column = add(set_int(first), multiply(lanes, set_int(lane_columns)));
    if (group >= 256) return _mm256_srli_epi32(_mm256_cmpgt_epi32(column, set_int(group - 1)), 31);
    return _mm256_srli_epi32(multiply(column, set_int(((1 << 20) + group - 1) / group)), 20);
  }
};

/// kSize bytes at p, or a copy of those before `end` with zeros after them.
template <int64_t kSize, class End>
inline const std::byte* bytes_before(const std::byte* p, End end, std::byte (&few)[kSize]) {
  if (end - p >= kSize) return p;
  std::memset(few, 0, kSize);
  if (end - p > 0) std::memcpy(few, p, static_cast<size_t>(end - p));
  return few;
}

/// Codes of any width in the order of columns: 32 of them lie in 4 kBits bytes.
template <int kBits_, bool kTable>
struct Codes : Bitstream<kBits_> {
  static constexpr int kBits = kBits_, kVectors = 1, offset = kTable ? 128 : 1 << (kBits - 1);
  static constexpr bool kWide = kTable || kBits >= 7;

  explicit Codes(const IntRows& w) : flip_(_mm256_set1_epi8(w.zeros == nullptr ? static_cast<char>(offset) : 0)) {
    if constexpr (kTable) {
      const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.levels));
      table_ = _mm256_broadcastsi128_si256(_mm_xor_si128(levels, _mm_set1_epi8(-128)));
    }
  }

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m256i (&out)[1]) const {
    const __m256i codes = load(row + Codes::bytes_to(column), end);
    out[0] = kTable ? _mm256_shuffle_epi8(table_, codes) : _mm256_xor_si256(codes, flip_);
  }
  /// Those that begin at p, zeros at `end` and beyond.
  template <class End>
  static __m256i load(const std::byte* p, End end) {
    std::byte few[32];
    p = bytes_before(p, end, few);
    return _mm256_and_si256(apart(p), _mm256_set1_epi8(static_cast<char>((1 << kBits) - 1)));
  }

 private:
  /// Byte i begins with code i.
  static __m256i apart(const std::byte* p) {
    const auto* at = reinterpret_cast<const __m128i*>(p);
    if constexpr (kBits == 8) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    if constexpr (kBits == 4) {
      const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(at));
      return _mm256_or_si256(wide, _mm256_slli_epi16(wide, 4));
    }
    // Sixteen codes, 2 kBits bytes, to each half; in it four to each lane, shifted to its lowest bits.
    const auto* second_half = reinterpret_cast<const __m128i*>(p + 2 * kBits);
    alignas(32) static constexpr auto kFours = [] {
      std::array<uint8_t, 32> bytes{};
      for (size_t i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>((i % 16 / 4 * 4 * kBits / 8 + i % 4) % 16);
      return bytes;
    }();
    const __m256i halves =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(at)), _mm_loadu_si128(second_half), 1);
    const __m256i shuffled =
        _mm256_shuffle_epi8(halves, _mm256_load_si256(reinterpret_cast<const __m256i*>(kFours.data())));
    const __m256i fours =
        _mm256_srlv_epi32(shuffled, _mm256_set1_epi64x(static_cast<int64_t>(uint64_t{4 * kBits % 8} << 32)));
    // Code k of four begins at bit k kBits and must begin at bit 8 k; whatever lies above it is masked later.
    constexpr int kUp = 8 - kBits;
    const __m256i odd = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
    const __m256i low = _mm256_blendv_epi8(fours, _mm256_slli_epi32(fours, kUp), odd);
    const __m256i high = _mm256_blendv_epi8(_mm256_slli_epi32(fours, 2 * kUp), _mm256_slli_epi32(fours, 3 * kUp), odd);
    return _mm256_blend_epi16(low, high, 0xaa);
  }

  __m256i flip_, table_;
};

/// Codes of two bits, sixteen columns to a lane (InputOrder::kStrides): a lane's codes are its own 32 bits, of which a
/// shift brings every fourth to the beginning of a byte.
struct StridedPairs : Bitstream<2> {
  static constexpr int kVectors = 4, offset = 2;
  static constexpr bool kWide = false;

  explicit StridedPairs(const IntRows& w) : flip_(_mm256_set1_epi8(w.zeros == nullptr ? static_cast<char>(0xaa) : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m256i (&out)[4]) const {
    std::byte few[32];
    const auto* p = reinterpret_cast<const __m256i*>(bytes_before(row + bytes_to(column), end, few));
    const __m256i codes = _mm256_xor_si256(_mm256_loadu_si256(p), flip_), mask = _mm256_set1_epi8(3);
    out[0] = _mm256_and_si256(codes, mask);
    out[1] = _mm256_and_si256(_mm256_srli_epi16(codes, 2), mask);
    out[2] = _mm256_and_si256(_mm256_srli_epi16(codes, 4), mask);
    out[3] = _mm256_and_si256(_mm256_srli_epi16(codes, 6), mask);
  }

 private:
  __m256i flip_;
};

/// Codes of three bits, sixteen columns to a lane (InputOrder::kSixteens). A lane's codes are 48 bits, of which it gets
/// the low 32 and the high 32.
struct SixteenTriples : Bitstream<3> {
  static constexpr int kVectors = 4, offset = 4;
  static constexpr bool kWide = false;

  explicit SixteenTriples(const IntRows& w) : flip_(_mm256_set1_epi8(w.zeros == nullptr ? 4 : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m256i (&out)[4]) const {
    std::byte few[48];
    const std::byte* p = bytes_before(row + bytes_to(column), end, few);
    // Four lanes of 24 bytes in each half: two of them lie in the first 16 bytes, two in the last.
    const __m256i first = halves(p, p + 24), last = halves(p + 8, p + 32);
    const __m256i low = lanes(first, last, 0), high = lanes(first, last, 2);
    out[0] = apart(low), out[1] = apart(_mm256_srli_epi32(low, 12));
    out[2] = apart(_mm256_srli_epi32(high, 8)), out[3] = apart(_mm256_srli_epi32(high, 20));
  }

 private:
  static __m256i halves(const std::byte* low, const std::byte* high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))),
                                   _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
  }
  /// Of each lane's six bytes four, from byte `from` on.
  static __m256i lanes(__m256i first, __m256i last, char from) {
    const __m256i bytes =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 6, 7, 8, 9, 4, 5, 6, 7, 10, 11, 12, 13));
    const __m256i places = _mm256_add_epi8(bytes, _mm256_set1_epi8(from));
    return _mm256_blend_epi32(_mm256_shuffle_epi8(first, places), _mm256_shuffle_epi8(last, places), 0xcc);
  }
  /// The lowest four codes of each lane to a byte each: two go to the upper half, then one of each two to the upper
  /// byte.
  __m256i apart(__m256i codes) const {
    const __m256i twos = _mm256_blend_epi16(codes, _mm256_slli_epi32(codes, 10), 0xaa);
    const __m256i odd = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
    const __m256i ones = _mm256_blendv_epi8(twos, _mm256_slli_epi16(twos, 5), odd);
    return _mm256_xor_si256(_mm256_and_si256(ones, _mm256_set1_epi8(7)), flip_);
  }

  __m256i flip_;
};

/// Signs, as bytes of 0 and 2.
struct SignCodes : Bitstream<1> {
  static constexpr int kVectors = 1, offset = 1;
  static constexpr bool kWide = false;

  explicit SignCodes(const IntRows&) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m256i (&out)[1]) const {
    out[0] = _mm256_and_si256(spread(row + bytes_to(column), end), _mm256_set1_epi8(2));
  }
  /// Bytes of ones for the 32 bits at p that are set; zeros at `end` and beyond.
  template <class End>
  static __m256i spread(const std::byte* p, End end) {
    std::byte few[4];
    int32_t word;
    std::memcpy(&word, bytes_before(p, end, few), sizeof word);
    const __m256i places = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), places);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  }
};

/// Codes whose bits differ by column, in the order of columns.
struct MixedCodes {
  static constexpr int kBits = kMostMixedBits, kVectors = 1, offset = kMixedMiddle;
  static constexpr bool kWide = false, kBlocks = false, kMinimums = false;

  explicit MixedCodes(const IntRows& w) : runs_(w.runs) {}

  int64_t bytes_to(int64_t column) const { return runs_[column / kRunColumns].start; }

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m256i (&out)[1]) const {
    const CodeRun& run = runs_[column / kRunColumns];
    out[0] = load(run.bits, row + run.start, end);
  }

 private:
  template <class End>
  static __m256i load(int bits, const std::byte* p, End end) {
    switch (bits) {
      case 1:
        return _mm256_and_si256(SignCodes::spread(p, end), _mm256_set1_epi8(1));
      case 2:
        return Codes<2, false>::load(p, end);
      case 3:
        return Codes<3, false>::load(p, end);
      case 4:
        return Codes<4, false>::load(p, end);
      case 5:
        return Codes<5, false>::load(p, end);
      default:
        return Codes<6, false>::load(p, end);
    }
  }

  const CodeRun* runs_;
};

/// 32 columns of ggml's blocks.
template <CodeKind kKind>
struct BlockCodes : Blocks<kKind> {
  using Base = Blocks<kKind>;
  static constexpr int kVectors = 1;
  static constexpr bool kBlocks = true, kMinimums = has_minimums(kKind);
  static int64_t bytes_to(int64_t column) { return column * Base::kBlockBytes / Base::kBlockColumns; }
  explicit BlockCodes(const IntRows&) {}
  template <class End>
  void bytes(const std::byte* row, int64_t column, End, __m256i (&out)[1]) const {
    out[0] = Base::columns(row, column);
  }
};

}  // namespace
}  // namespace bitloom

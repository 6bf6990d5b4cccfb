#pragma once
// Vector steps of AVX-512 with VNNI, and with VBMI where the source that includes this is compiled with it.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/int_dot/x86_blocks.h"
#include "kernels/int_dot/x86_loops.h"
#include "kernels/x86_sum.h"

namespace bitloom {
namespace {

struct Avx512 {
  using Bytes = __m512i;
  using Int = __m512i;
  using Float = __m512;
  static constexpr int64_t kLanes = 16;

  static Bytes load(const int8_t* p) { return _mm512_loadu_si512(p); }
  static Int load_int(const int32_t* p) { return _mm512_loadu_si512(p); }
  static Float load_float(const float* p) { return _mm512_loadu_ps(p); }
  static Float zero() { return _mm512_setzero_ps(); }
  static Int zero_int() { return _mm512_setzero_si512(); }
  static Float set(float x) { return _mm512_set1_ps(x); }
  static Int set_int(int32_t x) { return _mm512_set1_epi32(x); }

  template <bool kWide>
  static Int dot(Int a, Bytes u, Bytes s) {
    return _mm512_dpbusd_epi32(a, u, s);
  }
  static Int shift8(Int a) { return _mm512_slli_epi32(a, 8); }
  static Int add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int multiply(Int a, Int b) { return _mm512_mullo_epi32(a, b); }
  static Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static void widen_halves(const std::byte* p, int64_t count, float* out) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      _mm512_store_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 2 * i))));
    }
    if (i < count) {
      const auto ours = static_cast<__mmask16>((1 << (count - i)) - 1);
      _mm512_store_ps(out + i, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(ours, p + 2 * i)));
    }
    _mm512_storeu_ps(out + count, zero());
  }
  static __m256 sums(const Float (&v)[8]) {
    __m256 halves[8];
    for (int i = 0; i < 8; ++i)
      halves[i] = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));
    return sums8(halves);
  }
  static Float spread(const float* s, Int i) { return _mm512_permutexvar_ps(i, _mm512_loadu_ps(s)); }

  /// Below 256 columns a quotient by `group` is a product with 2^20 / group, rounded up; a larger group can begin but
  /// once in a chunk.
  static Int groups_of(int32_t first, int32_t lane_columns, int32_t group) {
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i column = _mm512_add_epi32(_mm512_set1_epi32(first), multiply(lanes, set_int(lane_columns)));
    if (group >= 256) {
      return _mm512_maskz_set1_epi32(_mm512_cmpge_epi32_mask(column, set_int(group)), 1);
    }
    return _mm512_srli_epi32(multiply(column, set_int(((1 << 20) + group - 1) / group)), 20);
  }

  /// 64 bytes at p, of which `available` may be read; zeros beyond.
  static Bytes load_some(const std::byte* p, int64_t available) {
    if (available >= 64) return _mm512_loadu_si512(p);
    const uint64_t mask = available <= 0 ? 0 : ~uint64_t{0} >> (64 - available);
    return _mm512_maskz_loadu_epi8(mask, p);
  }
};

/// What two's complement or zero points make of a code: (code & mask) ^ flip, above its level by 2^(bits - 1) either
/// way.
inline __m512i masked(__m512i codes, __m512i mask, __m512i flip) {
  constexpr int kAndXor = 0x6a;  // (a & b) ^ c, bit by bit
  return _mm512_ternarylogic_epi32(codes, mask, flip, kAndXor);
}

/// Codes of any width in the order of columns: 64 of them lie in 8 kBits bytes.
template <int kBits_>
struct BitCodes : Bitstream<kBits_> {
  static constexpr int kBits = kBits_, kVectors = 1, offset = 1 << (kBits - 1);
  static constexpr bool kWide = kBits >= 7;

  explicit BitCodes(const IntRows& w) : flip_(_mm512_set1_epi8(w.zeros == nullptr ? static_cast<char>(offset) : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[1]) const {
    const std::byte* p = row + BitCodes::bytes_to(column);
    const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << kBits) - 1));
    out[0] = masked(apart(Avx512::load_some(p, end - p)), mask, flip_);
  }

  /// Byte i begins with code i.
  static __m512i apart(__m512i stream) {
    if constexpr (kBits == 8) return stream;
#if defined(__AVX512VBMI__)
    alignas(64) static constexpr auto kEights = [] {  // the bytes of eight codes at the beginning of eight bytes
      std::array<uint8_t, 64> at{};
      for (size_t i = 0; i < 64; ++i) at[i] = static_cast<uint8_t>((i / 8 * kBits + i % 8) % 64);
      return at;
    }();
    constexpr uint64_t kShifts = [] {
      uint64_t shifts = 0;
      for (uint64_t i = 0; i < 8; ++i) shifts |= i * kBits << (8 * i);
      return shifts;
    }();
    const __m512i eights = _mm512_permutexvar_epi8(_mm512_load_si512(kEights.data()), stream);
    return _mm512_multishift_epi64_epi8(_mm512_set1_epi64(static_cast<int64_t>(kShifts)), eights);
#else
    // Sixteen codes, 2 kBits bytes, to each quarter; in it four to each lane, shifted to its lowest bits.
    alignas(64) static constexpr auto kQuarters = [] {  // words of a quarter
      std::array<uint16_t, 32> at{};
      for (size_t i = 0; i < 32; ++i) at[i] = static_cast<uint16_t>((i / 8 * kBits + i % 8) % 32);
      return at;
    }();
    alignas(64) static constexpr auto kFours = [] {
      std::array<uint8_t, 64> at{};
      for (size_t i = 0; i < 64; ++i) at[i] = static_cast<uint8_t>((i % 16 / 4 * 4 * kBits / 8 + i % 4) % 16);
      return at;
    }();
    const __m512i shifts =
        _mm512_set1_epi64(static_cast<int64_t>(uint64_t{4 * kBits % 8} << 32));  // of the even lanes, of the odd ones
    const __m512i quarters = _mm512_permutexvar_epi16(_mm512_load_si512(kQuarters.data()), stream);
    const __m512i fours = _mm512_srlv_epi32(_mm512_shuffle_epi8(quarters, _mm512_load_si512(kFours.data())), shifts);
    // Code k of four begins at bit k kBits and must begin at bit 8 k; whatever lies above it is masked later.
    constexpr int kUp = 8 - kBits;
    const __m512i second = _mm512_slli_epi32(fours, kUp), third = _mm512_slli_epi32(fours, 2 * kUp);
    const __m512i fourth = _mm512_slli_epi32(fours, 3 * kUp);
    const __m512i low = _mm512_mask_blend_epi8(0x2222222222222222, fours, second);
    const __m512i high = _mm512_mask_blend_epi8(0x8888888888888888, third, fourth);
    return _mm512_mask_blend_epi8(0xcccccccccccccccc, low, high);
#endif
  }

 private:
  __m512i flip_;
};

/// Signs, as bytes of 0 and 2.
struct SignCodes : Bitstream<1> {
  static constexpr int kVectors = 1, offset = 1;
  static constexpr bool kWide = false;

  explicit SignCodes(const IntRows&) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[1]) const {
    out[0] = _mm512_maskz_set1_epi8(load_bits(row + bytes_to(column), end), 2);
  }
  /// 64 bits at p, zeros at `end` and beyond.
  template <class End>
  static uint64_t load_bits(const std::byte* p, End end) {
    uint64_t bits = 0;
    if (end - p >= 8) {
      std::memcpy(&bits, p, 8);
    } else if (end - p > 0) {
      std::memcpy(&bits, p, static_cast<size_t>(end - p));
    }
    return bits;
  }
};

/// Codes whose bits differ by column, in the order of columns.
struct MixedCodes {
  static constexpr int kBits = kMostMixedBits, kVectors = 1, offset = kMixedMiddle;
  static constexpr bool kWide = false, kBlocks = false, kMinimums = false;

  explicit MixedCodes(const IntRows& w) : runs_(w.runs) {}

  int64_t bytes_to(int64_t column) const { return runs_[column / kRunColumns].start; }

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[1]) const {
    const CodeRun& run = runs_[column / kRunColumns];
    const std::byte* p = row + run.start;
    if (run.bits == 1) {
      out[0] = _mm512_maskz_set1_epi8(SignCodes::load_bits(p, end), 1);
      return;
    }
    const __m512i stream = Avx512::load_some(p, end - p);
    out[0] = _mm512_and_si512(apart(run.bits, stream), _mm512_set1_epi8(static_cast<char>((1 << run.bits) - 1)));
  }

 private:
  static __m512i apart(int bits, __m512i stream) {
    switch (bits) {
      case 2:
        return BitCodes<2>::apart(stream);
      case 3:
        return BitCodes<3>::apart(stream);
      case 4:
        return BitCodes<4>::apart(stream);
      case 5:
        return BitCodes<5>::apart(stream);
      default:
        return BitCodes<6>::apart(stream);
    }
  }

  const CodeRun* runs_;
};

#if defined(__AVX512VBMI__)
/// Where codes of three bits lie. Four codes of vector v are to lie in lane l: bits [48 l + 12 v, ...). Of a lane's 48
/// it gets the first three bytes, then the last three: those of the lower eight lanes from the first 64 bytes, of the
/// upper eight from the last 64 of 96.
struct TripleTables {
  alignas(64) uint8_t places[2][64] = {};
  uint64_t shifts[2] = {};
};
constexpr TripleTables kTripleTables = [] {
  TripleTables tables;
  for (size_t i = 0; i < 64; ++i) {
    for (size_t half = 0; half < 2; ++half) {
      tables.places[half][i] = static_cast<uint8_t>(i / 4 * 6 + half * 3 + i % 4 - (i < 32 ? 0 : 32));
    }
  }
  for (size_t v = 0; v < 2; ++v) {
    for (size_t i = 0; i < 8; ++i) tables.shifts[v] |= uint64_t{i / 4 * 32 + 12 * v + i % 4 * 3} << (8 * i);
  }
  return tables;
}();

/// Codes of three bits, sixteen columns to a lane (InputOrder::kSixteens), so that one sum of a lane is scaled for four
/// vectors of codes.
struct SixteenTriples : Bitstream<3> {
  static constexpr int kVectors = 4, offset = 4;
  static constexpr bool kWide = false;

  explicit SixteenTriples(const IntRows& w) : flip_(_mm512_set1_epi8(w.zeros == nullptr ? 4 : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[4]) const {
    const std::byte* p = row + bytes_to(column);
    const __m512i first = Avx512::load_some(p, end - p), last = Avx512::load_some(p + 32, end - p - 32);
    for (int half = 0; half < 2; ++half) {
      const __m512i places = _mm512_load_si512(kTripleTables.places[half]);
      const __m512i words =
          _mm512_mask_permutexvar_epi8(_mm512_permutexvar_epi8(places, first), 0xffffffff00000000, places, last);
      for (int v = 0; v < 2; ++v) {
        const __m512i shifts = _mm512_set1_epi64(static_cast<int64_t>(kTripleTables.shifts[v]));
        out[2 * half + v] = masked(_mm512_multishift_epi64_epi8(shifts, words), _mm512_set1_epi8(7), flip_);
      }
    }
  }

 private:
  __m512i flip_;
};
#endif

#if !defined(__AVX512VBMI__)
/// Codes of two bits, sixteen columns to a lane (InputOrder::kStrides): a lane's codes are its own 32 bits, of which a
/// shift brings every fourth to the beginning of a byte.
struct StridedPairs : Bitstream<2> {
  static constexpr int kVectors = 4, offset = 2;
  static constexpr bool kWide = false;

  explicit StridedPairs(const IntRows& w) : flip_(_mm512_set1_epi8(w.zeros == nullptr ? 2 : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[4]) const {
    const std::byte* p = row + bytes_to(column);
    const __m512i codes = Avx512::load_some(p, end - p), mask = _mm512_set1_epi8(3);
    out[0] = masked(codes, mask, flip_), out[1] = masked(_mm512_srli_epi16(codes, 2), mask, flip_);
    out[2] = masked(_mm512_srli_epi16(codes, 4), mask, flip_),
    out[3] = masked(_mm512_srli_epi16(codes, 6), mask, flip_);
  }

 private:
  __m512i flip_;
};

/// Codes of three bits, sixteen columns to a lane (InputOrder::kSixteens). A lane's codes are 48 bits, of which it gets
/// the low 32 and the high 32.
struct SixteenTriples : Bitstream<3> {
  static constexpr int kVectors = 4, offset = 4;
  static constexpr bool kWide = false;

  explicit SixteenTriples(const IntRows& w) : flip_(_mm512_set1_epi8(w.zeros == nullptr ? 4 : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[4]) const {
    const std::byte* p = row + bytes_to(column);
    const __m512i first = Avx512::load_some(p, end - p);
    const __m512i last = Avx512::load_some(p + 64, std::min<int64_t>(end - p - 64, 32));
    const __m512i low = _mm512_permutex2var_epi16(first, _mm512_load_si512(kWords[0].data()), last);
    const __m512i high = _mm512_permutex2var_epi16(first, _mm512_load_si512(kWords[1].data()), last);
    out[0] = apart(low), out[1] = apart(_mm512_srli_epi32(low, 12));
    out[2] = apart(_mm512_srli_epi32(high, 8)), out[3] = apart(_mm512_srli_epi32(high, 20));
  }

 private:
  /// Of each lane's three words the first two, and the last two.
  alignas(64) static constexpr auto kWords = [] {
    std::array<std::array<uint16_t, 32>, 2> words{};
    for (size_t i = 0; i < 32; ++i) {
      words[0][i] = static_cast<uint16_t>(i / 2 * 3 + i % 2), words[1][i] = static_cast<uint16_t>(words[0][i] + 1);
    }
    return words;
  }();
  /// The lowest four codes of each lane to a byte each: two go to the upper half, then one of each two to the upper
  /// byte.
  __m512i apart(__m512i codes) const {
    const __m512i twos = _mm512_mask_blend_epi16(0xaaaaaaaa, codes, _mm512_slli_epi32(codes, 10));
    const __m512i ones = _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, twos, _mm512_slli_epi16(twos, 5));
    return masked(ones, _mm512_set1_epi8(7), flip_);
  }

  __m512i flip_;
};
#endif

/// Codes of four bits, even columns apart from odd ones.
struct Nibbles : Bitstream<4> {
  static constexpr int kVectors = 2, offset = 8;
  static constexpr bool kWide = false;

  explicit Nibbles(const IntRows& w) : flip_(_mm512_set1_epi8(w.zeros == nullptr ? offset : 0)) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[2]) const {
    const std::byte* p = row + bytes_to(column);
    const __m512i pairs = Avx512::load_some(p, end - p), mask = _mm512_set1_epi8(15);
    out[0] = masked(pairs, mask, flip_), out[1] = masked(_mm512_srli_epi16(pairs, 4), mask, flip_);
  }

 private:
  __m512i flip_;
};

/// Four bits that a table maps to levels; offset 128. With VBMI the table stands in a register four times, so that it does
/// not matter which bits lie above an index.
struct NibbleTable : Bitstream<4> {
  static constexpr int kVectors = 2, offset = 128;
  static constexpr bool kWide = true;

  explicit NibbleTable(const IntRows& w) {
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.levels));
    table_ = _mm512_broadcast_i32x4(_mm_xor_si128(levels, _mm_set1_epi8(-128)));
  }

  template <class End>
  void bytes(const std::byte* row, int64_t column, End end, __m512i (&out)[2]) const {
    const std::byte* p = row + bytes_to(column);
    const __m512i pairs = Avx512::load_some(p, end - p);
    out[0] = look_up(pairs), out[1] = look_up(_mm512_srli_epi16(pairs, 4));
  }
  /// Of the low nibbles.
  __m512i look_up(__m512i codes) const {
#if defined(__AVX512VBMI__)
    return _mm512_permutexvar_epi8(codes, table_);
#else
    return _mm512_shuffle_epi8(table_, _mm512_and_si512(codes, _mm512_set1_epi8(15)));
#endif
  }

 private:
  __m512i table_;
};

/// 64 columns of ggml's blocks; where a row ends after 32, some of its bytes again.
template <CodeKind kKind>
struct BlockCodes : Blocks<kKind> {
  using Base = Blocks<kKind>;
  static constexpr int kVectors = 1;
  static constexpr bool kBlocks = true, kMinimums = has_minimums(kKind);
  static int64_t bytes_to(int64_t column) { return column * Base::kBlockBytes / Base::kBlockColumns; }

  explicit BlockCodes(const IntRows& w) : last_(w.cols - 32) {}

  template <class End>
  void bytes(const std::byte* row, int64_t column, End, __m512i (&out)[1]) const {
    const __m256i first = Base::columns(row, column), second = Base::columns(row, std::min(column + 32, last_));
    out[0] = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }

 private:
  int64_t last_;
};

}  // namespace
}  // namespace bitloom

#pragma once
// Products of ggml's blocks with inputs of 8 bits, in AVX-512 with VNNI: 256 columns of a K type at a time, or four
// blocks of 32 columns. Codes come apart as they lie, whole vectors at once, and the input is put in their order
// instead, once for the rows that share it; scales go from the block to registers. For sources with flags of their own.

#include <array>
#include <cassert>
#include <cstring>

#include "kernels/int_dot/x86_avx512.h"

namespace bitloom {
namespace {

inline __m512i load64(const std::byte* p) { return _mm512_loadu_si512(p); }
inline __m128i load16(const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
/// 32 bytes, twice.
inline __m512i load32_twice(const std::byte* p) { return _mm512_broadcast_i64x4(load32(p)); }
inline __m512i join(__m256i low, __m256i high) { return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1); }
/// `low` where the mask's bits are set, else `high`.
inline __m512i select_bits(__m512i mask, __m512i low, __m512i high) {
  return _mm512_ternarylogic_epi32(mask, low, high, 0xca);
}
inline __m512i bytes_of(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
/// Sixteen integers, signed or not, times a half at p.
template <bool kSigned>
inline __m512 scaled_bytes(__m128i bytes, const std::byte* p) {
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  const __m512 factor = _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(half)));
  const __m512i wide = kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  return _mm512_mul_ps(_mm512_cvtepi32_ps(wide), factor);
}

/// Columns that the sixteens of a vector begin at.
using Sixteens = std::array<int, 4>;
constexpr Sixteens two_runs(int first, int second) { return {first, first + 16, second, second + 16}; }

/// What is multiplied at a time of a row, a chunk: a block of 256 columns, or four of 32.
///   F::kBytes             of a chunk
///   F::kSums              of it, each of columns that share a scale lane by lane
///   F::kColumns[v]        those of vector v of codes, four to a lane; so many vectors to a sum that follow each other
///   F::codes(p, out)      bytes, F::offset above their levels
///   F::numbers(p, s, m)   scales and, in the lanes F::kMinimumLanes, a group each, what is added to every weight, or
///                         with F::kAddsMinimums false, taken from it
///   F::kSpread            scales lie as the lanes of the one sum want them; else a lane to a group
template <CodeKind kKind>
struct ChunkOf;

/// A block of 256 columns.
template <CodeKind kKind>
struct SuperChunk : Blocks<kKind> {
  static constexpr int64_t kBytes = Blocks<kKind>::kBlockBytes;
  static constexpr bool kSpread = false, kAddsMinimums = false;
};
inline constexpr std::array<Sixteens, 4> kHalfApart = {two_runs(0, 128), two_runs(32, 160), two_runs(64, 192),
                                                       two_runs(96, 224)};
inline constexpr std::array<Sixteens, 4> kNextButOne = {two_runs(0, 64), two_runs(32, 96), two_runs(128, 192),
                                                        two_runs(160, 224)};
inline constexpr std::array<Sixteens, 4> kInOrder = {two_runs(0, 32), two_runs(64, 96), two_runs(128, 160),
                                                     two_runs(192, 224)};

template <>
struct ChunkOf<CodeKind::kQ2_K> : SuperChunk<CodeKind::kQ2_K> {
  static constexpr int kSums = 4;
  static constexpr auto kColumns = kHalfApart;
  static constexpr __mmask16 kMinimumLanes = 0xffff;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i fours = load64(p + 16), mask = bytes_of(3);
    out[0] = _mm512_and_si512(fours, mask), out[1] = _mm512_and_si512(_mm512_srli_epi16(fours, 2), mask);
    out[2] = _mm512_and_si512(_mm512_srli_epi16(fours, 4), mask);
    out[3] = _mm512_and_si512(_mm512_srli_epi16(fours, 6), mask);
  }
  static void numbers(const std::byte* p, __m512& s, __m512& m) {
    const __m128i pairs = load16(p), mask = _mm_set1_epi8(15);
    s = scaled_bytes<false>(_mm_and_si128(pairs, mask), p + 80);
    m = scaled_bytes<false>(_mm_and_si128(_mm_srli_epi16(pairs, 4), mask), p + 82);
  }
};

template <>
struct ChunkOf<CodeKind::kQ3_K> : SuperChunk<CodeKind::kQ3_K> {
  static constexpr int kSums = 4;
  static constexpr auto kColumns = kHalfApart;
  static constexpr __mmask16 kMinimumLanes = 0;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i low = load64(p + 32), two = bytes_of(3), three = bytes_of(7);
    // Bits 0 to 3 of the first half, 4 to 7 of the second.
    const __m512i twice = load32_twice(p), high = _mm512_mask_srli_epi64(twice, 0xf0, twice, 4);
    const auto joined = [&](__m512i lower, __m512i upper) {
      return _mm512_and_si512(select_bits(two, lower, upper), three);
    };
    out[0] = joined(low, _mm512_slli_epi16(high, 2));
    out[1] = joined(_mm512_srli_epi16(low, 2), _mm512_slli_epi16(high, 1));
    out[2] = joined(_mm512_srli_epi16(low, 4), high);
    out[3] = joined(_mm512_srli_epi16(low, 6), _mm512_srli_epi16(high, 1));
  }
  static void numbers(const std::byte* p, __m512& s, __m512&) {
    int64_t nibbles;
    int32_t pairs;
    std::memcpy(&nibbles, p + 96, sizeof nibbles), std::memcpy(&pairs, p + 104, sizeof pairs);
    const __m128i low = _mm_srlv_epi64(_mm_set1_epi64x(nibbles), _mm_set_epi64x(4, 0));
    const __m128i high = _mm_slli_epi16(_mm_srlv_epi32(_mm_set1_epi32(pairs), _mm_set_epi32(6, 4, 2, 0)), 4);
    const __m128i six = _mm_ternarylogic_epi32(_mm_set1_epi8(15), low, high, 0xca);
    const __m128i level = _mm_sub_epi8(_mm_and_si128(six, _mm_set1_epi8(63)), _mm_set1_epi8(32));
    s = scaled_bytes<true>(level, p + 108);
  }
};

/// Eight scales and eight minimums of six bits; d and dmin before them.
inline __m512 six_bit_numbers(const std::byte* p) {
  const __m128i abc = load16(p + 4);  // and what follows
  // Low fours of scales and minimums lie in a and b; of the others four bits in c, two above the low fours'.
  const __m128i apart = _mm_srlv_epi32(_mm_shuffle_epi32(abc, 0x98), _mm_set_epi32(4, 0, 0, 0));  // a c b c
  const __m128i above = _mm_srli_epi32(_mm_shuffle_epi32(abc, 0x50), 2);                          // a a b b
  const __m128i lower = _mm_and_si128(apart, _mm_set_epi32(0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f));
  const __m128i upper = _mm_and_si128(above, _mm_set_epi32(0x30303030, 0, 0x30303030, 0));
  const __m512 codes = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_or_si128(lower, upper)));
  int32_t halves;
  std::memcpy(&halves, p, sizeof halves);
  const __m512 both = _mm512_cvtph_ps(_mm256_set1_epi32(halves));
  return _mm512_mul_ps(codes,
                       _mm512_permutexvar_ps(_mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0), both));
}

template <>
struct ChunkOf<CodeKind::kQ4_K> : SuperChunk<CodeKind::kQ4_K> {
  static constexpr int kSums = 4;
  static constexpr auto kColumns = kNextButOne;
  static constexpr __mmask16 kMinimumLanes = 0xff00;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i mask = bytes_of(15);
    for (int i = 0; i < 2; ++i) {
      const __m512i pairs = load64(p + 16 + 64 * i);
      out[2 * i] = _mm512_and_si512(pairs, mask);
      out[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), mask);
    }
  }
  static void numbers(const std::byte* p, __m512& s, __m512& m) { s = m = six_bit_numbers(p); }
};

template <>
struct ChunkOf<CodeKind::kQ5_K> : SuperChunk<CodeKind::kQ5_K> {
  static constexpr int kSums = 4;
  static constexpr auto kColumns = kNextButOne;
  static constexpr __mmask16 kMinimumLanes = 0xff00;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i four = bytes_of(15), five = bytes_of(31);
    // Bits of columns 64 further to the same place in the second half.
    const __m512i twice = load32_twice(p + 16), high = _mm512_mask_srli_epi64(twice, 0xf0, twice, 2);
    const auto joined = [&](__m512i lower, __m512i upper) {
      return _mm512_and_si512(select_bits(four, lower, upper), five);
    };
    const __m512i first = load64(p + 48), second = load64(p + 112);
    out[0] = joined(first, _mm512_slli_epi16(high, 4));
    out[1] = joined(_mm512_srli_epi16(first, 4), _mm512_slli_epi16(high, 3));
    out[2] = joined(second, high);
    out[3] = joined(_mm512_srli_epi16(second, 4), _mm512_srli_epi16(high, 1));
  }
  static void numbers(const std::byte* p, __m512& s, __m512& m) { s = m = six_bit_numbers(p); }
};

template <>
struct ChunkOf<CodeKind::kQ6_K> : SuperChunk<CodeKind::kQ6_K> {
  static constexpr int kSums = 4;
  static constexpr auto kColumns = kInOrder;
  static constexpr __mmask16 kMinimumLanes = 0;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i four = bytes_of(15), six = bytes_of(63);
    const __m512i up = _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4), down = _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0);
    const auto joined = [&](__m512i lower, __m512i upper) {
      return _mm512_and_si512(select_bits(four, lower, upper), six);
    };
    for (int i = 0; i < 2; ++i) {
      const __m512i low = load64(p + 64 * i), high = load32_twice(p + 128 + 32 * i);
      out[2 * i] = joined(low, _mm512_sllv_epi64(high, up));
      out[2 * i + 1] = joined(_mm512_srli_epi16(low, 4), _mm512_srlv_epi64(high, down));
    }
  }
  static void numbers(const std::byte* p, __m512& s, __m512&) { s = scaled_bytes<true>(load16(p + 192), p + 208); }
};

template <>
struct ChunkOf<CodeKind::kIQ4_XS> : SuperChunk<CodeKind::kIQ4_XS> {
  static constexpr int kSums = 2;
  static constexpr std::array<Sixteens, 4> kColumns = {
      {{0, 32, 64, 96}, {16, 48, 80, 112}, {128, 160, 192, 224}, {144, 176, 208, 240}}};
  static constexpr __mmask16 kMinimumLanes = 0;
  static void codes(const std::byte* p, __m512i (&out)[4]) {
    const __m512i table = _mm512_broadcast_i64x4(table_of(kIq4Levels, offset)), mask = bytes_of(15);
    for (int i = 0; i < 2; ++i) {
      const __m512i pairs = load64(p + 8 + 64 * i);
      out[2 * i] = _mm512_shuffle_epi8(table, _mm512_and_si512(pairs, mask));
      out[2 * i + 1] = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(pairs, 4), mask));
    }
  }
  /// Four bits at p + 4, above them two at p + 2; 32 is taken away.
  static void numbers(const std::byte* p, __m512& s, __m512&) {
    uint16_t pairs;
    int32_t fours;
    std::memcpy(&pairs, p + 2, sizeof pairs), std::memcpy(&fours, p + 4, sizeof fours);
    const __m256i low = _mm256_srlv_epi32(_mm256_set1_epi32(fours), _mm256_set_epi32(28, 24, 20, 16, 12, 8, 4, 0));
    const __m256i high = _mm256_srlv_epi32(_mm256_set1_epi32(pairs << 4), _mm256_set_epi32(14, 12, 10, 8, 6, 4, 2, 0));
    const __m256i six = _mm256_ternarylogic_epi32(_mm256_set1_epi32(15), low, high, 0xca);
    const __m256i level = _mm256_sub_epi32(_mm256_and_si256(six, _mm256_set1_epi32(63)), _mm256_set1_epi32(32));
    s = _mm512_castps256_ps512(_mm256_mul_ps(_mm256_cvtepi32_ps(level), _mm256_set1_ps(half_at(p))));
  }
};

/// Four blocks of 32 columns: the first sixteen of each, then the second.
template <CodeKind kKind>
struct FourBlocks : Blocks<kKind> {
  static constexpr int64_t kBytes = 4 * Blocks<kKind>::kBlockBytes;
  static constexpr int kSums = 1;
  static constexpr std::array<Sixteens, 2> kColumns = {{{0, 32, 64, 96}, {16, 48, 80, 112}}};
  static constexpr __mmask16 kMinimumLanes = has_minimums(kKind) ? 0x1111 : 0;
  static constexpr bool kSpread = true;
  static constexpr bool kAddsMinimums = true;

 protected:
  /// Where words lie in two vectors that are read of the blocks, at p and at p + kSecond.
  static constexpr int64_t kSecond = std::min<int64_t>(64, kBytes - 64);
  struct Words {
    alignas(64) std::array<int16_t, 32> at{};
    /// Word `number` of a block.
    static constexpr int16_t place(int block, int number) {
      const int word = block * static_cast<int>(Blocks<kKind>::kBlockBytes) / 2 + number;
      return static_cast<int16_t>(word < 32 ? word : word - static_cast<int>(kSecond) / 2 + 32);
    }
    __m512i operator()(const std::byte* p) const {
      return _mm512_permutex2var_epi16(load64(p), _mm512_load_si512(at.data()), load64(p + kSecond));
    }
  };
  /// Word i: `each` words of a block from `first` on, a block after the other.
  static constexpr Words words_of(int first, int each) {
    Words words;
    for (int i = 0; i < 32; ++i) words.at[static_cast<size_t>(i)] = Words::place(i / each % 4, first + i % each);
    return words;
  }

 private:
  /// The first word of each block, or the second, four times each: scales, then minimums.
  static constexpr Words kNumbers = [] {
    Words words;
    for (int i = 0; i < 32; ++i) words.at[static_cast<size_t>(i)] = Words::place(i / 4 % 4, i / 16);
    return words;
  }();

 public:
  static void numbers(const std::byte* p, __m512& s, __m512& m) {
    const __m512i both = kNumbers(p);
    s = _mm512_cvtph_ps(_mm512_castsi512_si256(both));
    if constexpr (has_minimums(kKind)) m = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(both, 1));
  }
};

/// Codes of four bits, from a word of a block on.
template <CodeKind kKind, int kFirst>
struct FourNibbles : FourBlocks<kKind> {
  using Words = typename FourBlocks<kKind>::Words;
  static void codes(const std::byte* p, __m512i (&out)[2]) {
    const __m512i pairs = kCodes(p), mask = bytes_of(15);
    out[0] = _mm512_and_si512(pairs, mask), out[1] = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), mask);
  }

 private:
  static constexpr Words kCodes = FourBlocks<kKind>::words_of(kFirst, 8);
};

/// Fifth bits, from a word of a block on, and codes after them.
template <CodeKind kKind, int kFirst>
struct FourFives : FourNibbles<kKind, kFirst + 2> {
  using Words = typename FourBlocks<kKind>::Words;
  static void codes(const std::byte* p, __m512i (&out)[2]) {
    FourNibbles<kKind, kFirst + 2>::codes(p, out);
    const __m512i sixteen = bytes_of(16);
    const auto bits = [p](const Words& words) {
      return _cvtu64_mask64(static_cast<uint64_t>(_mm_cvtsi128_si64(_mm512_castsi512_si128(words(p)))));
    };
    out[0] = _mm512_mask_add_epi8(out[0], bits(kLow), out[0], sixteen);
    out[1] = _mm512_mask_add_epi8(out[1], bits(kHigh), out[1], sixteen);
  }

 private:
  static constexpr Words kLow = FourBlocks<kKind>::words_of(kFirst, 1);
  static constexpr Words kHigh = FourBlocks<kKind>::words_of(kFirst + 1, 1);
};

template <>
struct ChunkOf<CodeKind::kQ4_0> : FourNibbles<CodeKind::kQ4_0, 1> {};
template <>
struct ChunkOf<CodeKind::kQ4_1> : FourNibbles<CodeKind::kQ4_1, 2> {};
template <>
struct ChunkOf<CodeKind::kQ5_0> : FourFives<CodeKind::kQ5_0, 1> {};
template <>
struct ChunkOf<CodeKind::kQ5_1> : FourFives<CodeKind::kQ5_1, 2> {};

template <>
struct ChunkOf<CodeKind::kIQ4_NL> : FourNibbles<CodeKind::kIQ4_NL, 1> {
  static void codes(const std::byte* p, __m512i (&out)[2]) {
    FourNibbles::codes(p, out);
    const __m512i table = _mm512_broadcast_i64x4(table_of(kIq4Levels, offset));
    for (__m512i& code : out) code = _mm512_shuffle_epi8(table, code);
  }
};

template <>
struct ChunkOf<CodeKind::kQ8_0> : FourBlocks<CodeKind::kQ8_0> {
  static void codes(const std::byte* p, __m512i (&out)[2]) {
    const __m512i first = join(load32(p + 2), load32(p + 36)), second = join(load32(p + 70), load32(p + 104));
    out[0] = _mm512_xor_si512(_mm512_shuffle_i64x2(first, second, 0x88), bytes_of(128));
    out[1] = _mm512_xor_si512(_mm512_shuffle_i64x2(first, second, 0xdd), bytes_of(128));
  }
};

/// Its blocks are no whole words.
template <>
struct ChunkOf<CodeKind::kMXFP4> : Blocks<CodeKind::kMXFP4> {
  static constexpr int64_t kBytes = 68;
  static constexpr int kSums = 1;
  static constexpr std::array<Sixteens, 2> kColumns = {{{0, 32, 64, 96}, {16, 48, 80, 112}}};
  static constexpr __mmask16 kMinimumLanes = 0;
  static constexpr bool kSpread = true, kAddsMinimums = false;
  static void codes(const std::byte* p, __m512i (&out)[2]) {
    const __m512i table = _mm512_broadcast_i64x4(table_of(kMxfp4Levels, offset)), mask = bytes_of(15);
    const __m512i pairs =
        join(_mm256_set_m128i(load16(p + 18), load16(p + 1)), _mm256_set_m128i(load16(p + 52), load16(p + 35)));
    out[0] = _mm512_shuffle_epi8(table, _mm512_and_si512(pairs, mask));
    out[1] = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(pairs, 4), mask));
  }
  /// Half of 2^(e - 127), which is subnormal for e = 0.
  static void numbers(const std::byte* p, __m512& s, __m512&) {
    const auto e = [p](int block) { return std::to_integer<int>(p[17 * block]); };
    const __m128i four = _mm_set_epi32(e(3), e(2), e(1), e(0));
    const __m512i places = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i spread = _mm512_permutexvar_epi32(places, _mm512_castsi128_si512(four));
    const __m512i bits = _mm512_max_epi32(_mm512_slli_epi32(spread, 23), _mm512_set1_epi32(1 << 22));
    s = _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0.5f));
  }
};

/// y of a call's rows, eight at a time, a token after the other. Every row's sum runs in the same order whatever the
/// rows and tokens beside it.
template <CodeKind kKind>
class BlockLoop {
 public:
  explicit BlockLoop(const IntDotCall& call) : call_(call), w_(call.w) {
    const int64_t together = kRowsTogether * w_.row_bytes;
    ahead_ = (kAhead + together - 1) / together * together;
    soon_ = together <= kSoon ? together : kSoonOfWideRows;
    for (size_t s = 0; s < kSums; ++s) places_[s] = _mm512_load_si512(kPlaces[s].data());
  }

  void run() const {
    for (int64_t r = call_.first; r < call_.last; r += kRowsTogether) {
      const std::byte* rows[kRowsTogether];
      for (int64_t i = 0; i < kRowsTogether; ++i) rows[i] = row_of(w_, std::min(r + i, call_.last - 1)).codes;
      for (int64_t t = 0; t < call_.tokens; ++t) add_rows(rows, r, t);
    }
  }

 private:
  using F = ChunkOf<kKind>;
  static constexpr size_t kVectors = F::kColumns.size(), kSums = F::kSums, kEach = kVectors / kSums;
  static constexpr int64_t kColumns = 64 * int64_t{kVectors};

  /// Lane i of sum s has columns of this group.
  using Places = std::array<int32_t, 16>;
  alignas(64) static constexpr std::array<Places, kSums> kPlaces = [] {
    std::array<Places, kSums> places{};
    for (size_t s = 0; s < kSums; ++s) {
      for (size_t i = 0; i < 16; ++i) {
        places[s][i] = F::kColumns[s * kEach][i / 4] / static_cast<int32_t>(F::kGroup);
      }
    }
    return places;
  }();

  /// The group whose minimum a lane has.
  alignas(64) static constexpr Places kSumPlaces = [] {
    Places places{};
    int32_t group = 0;
    for (size_t i = 0; i < 16; ++i) places[i] = (F::kMinimumLanes >> i & 1) != 0 ? group++ : 0;
    return places;
  }();

  /// The input of a chunk, as its codes lie.
  struct Input {
    __m512i digits[kVectors], starts[kSums];  // starts: minus the offset times the sums of digits
    __m512 scales[kSums], sums;               // sums: of groups, where there are minimums
  };
  /// Sixteen columns at each place of `columns`, that of p of which `each` columns share one.
  template <typename T>
  static __m512i gather(const T* p, int each, const Sixteens& columns) {
    const auto at = [&](size_t i) { return load16(reinterpret_cast<const std::byte*>(p + columns[i] / each)); };
    return join(_mm256_set_m128i(at(1), at(0)), _mm256_set_m128i(at(3), at(2)));
  }
  void order_input(int64_t t, int64_t column, Input& in) const {
    const RoundedInput& x = call_.rounded;
    const int64_t first = t * x.stride + column, lane = first / 4;
    for (size_t v = 0; v < kVectors; ++v) in.digits[v] = gather(x.digits + first, 1, F::kColumns[v]);
    for (size_t s = 0; s < kSums; ++s) {
      in.scales[s] = _mm512_castsi512_ps(gather(x.scales + lane, 4, F::kColumns[s * kEach]));
      __m512i sums = _mm512_setzero_si512();
      for (size_t v = s * kEach; v < (s + 1) * kEach; ++v) {
        sums = _mm512_add_epi32(sums, gather(x.high_sums + lane, 4, F::kColumns[v]));
      }
      in.starts[s] = _mm512_mullo_epi32(sums, _mm512_set1_epi32(-F::offset));
    }
    if constexpr (F::kMinimumLanes != 0) {
      const int64_t groups = w_.cols / F::kGroup, first_group = column / F::kGroup;
      const int64_t count = std::min(groups - first_group, kColumns / F::kGroup);
      const auto there = static_cast<__mmask16>((1 << count) - 1);
      const __m512 sums = _mm512_maskz_loadu_ps(there, call_.group_sums + t * groups + first_group);
      in.sums = _mm512_maskz_permutexvar_ps(F::kMinimumLanes, _mm512_load_si512(kSumPlaces.data()), sums);
    }
  }

  [[gnu::noinline]] void add_rows(const std::byte* const (&rows)[kRowsTogether], int64_t r, int64_t t) const {
    __m512 total[kRowsTogether];
    for (__m512& sum : total) sum = _mm512_setzero_ps();
    int64_t column = 0, at = 0;
    for (; column + kColumns <= w_.cols; column += kColumns, at += F::kBytes) {
      Input in;
      order_input(t, column, in);
#pragma GCC unroll 2
      for (int i = 0; i < kRowsTogether; ++i) total[i] = add_chunk(rows[i] + at, in, total[i]);
    }
    if (column < w_.cols) add_last(rows, t, column, at, total);
    const __m256 sums = _mm256_mul_ps(_mm256_set1_ps(w_.factor), Avx512::sums(total));
    const auto ours = static_cast<__mmask8>((1 << std::min<int64_t>(kRowsTogether, call_.last - r)) - 1);
    _mm256_mask_storeu_ps(call_.y + t * call_.y_stride + r, ours, sums);
  }

  /// Blocks that are no whole chunk: copied, zeros after them.
  [[gnu::noinline]] void add_last(const std::byte* const (&rows)[kRowsTogether], int64_t t, int64_t column, int64_t at,
                                  __m512 (&total)[kRowsTogether]) const {
    Input in;
    order_input(t, column, in);
    for (int i = 0; i < kRowsTogether; ++i) {
      std::byte chunk[F::kBytes] = {};
      std::memcpy(chunk, rows[i] + at, static_cast<size_t>(w_.row_bytes - at));
      total[i] = add_chunk(chunk, in, total[i]);
    }
  }

  __m512 add_chunk(const std::byte* p, const Input& in, __m512 total) const {
    const auto* next = reinterpret_cast<const char*>(p);
#pragma GCC unroll 4
    for (int64_t line = 0; line < F::kBytes; line += 64) {
      _mm_prefetch(next + ahead_ + line, _MM_HINT_T1), _mm_prefetch(next + soon_ + line, _MM_HINT_T0);
    }
    __m512i codes[kVectors];
    __m512 scales, minimums;
    F::codes(p, codes);
    F::numbers(p, scales, minimums);
    if constexpr (F::kMinimumLanes != 0) {
      total = F::kAddsMinimums ? _mm512_fmadd_ps(minimums, in.sums, total) : _mm512_fnmadd_ps(minimums, in.sums, total);
    }
#pragma GCC unroll 4
    for (size_t s = 0; s < kSums; ++s) {
      __m512i sum = F::offset == 0 ? _mm512_setzero_si512() : in.starts[s];
#pragma GCC unroll 2
      for (size_t v = s * kEach; v < (s + 1) * kEach; ++v) sum = _mm512_dpbusd_epi32(sum, codes[v], in.digits[v]);
      const __m512 scale = F::kSpread ? scales : _mm512_permutexvar_ps(places_[s], scales);
      total = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), in.scales[s]), scale, total);
    }
    return total;
  }

  const IntDotCall& call_;
  const IntRows& w_;
  int64_t ahead_, soon_;
  __m512i places_[kSums];
};

}  // namespace
}  // namespace bitloom

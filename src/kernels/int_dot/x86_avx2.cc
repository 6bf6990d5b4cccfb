// Compiled with -mavx2 -mfma -mf16c.

#include <array>

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
  static float sum(Float v) { return sum8(v); }
  static Float spread(const float* s, Int i) { return _mm256_permutevar8x32_ps(_mm256_loadu_ps(s), i); }
  /// As Avx512's.
  static Int groups_of(int32_t first, int32_t lane_columns, int32_t group) {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i column = add(set_int(first), multiply(lanes, set_int(lane_columns)));
    if (group >= 256) return _mm256_srli_epi32(_mm256_cmpgt_epi32(column, set_int(group - 1)), 31);
    return _mm256_srli_epi32(multiply(column, set_int(((1 << 20) + group - 1) / group)), 20);
  }
};

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

  void bytes(const std::byte* row, int64_t column, const std::byte* end, __m256i (&out)[1]) const {
    const std::byte* p = row + Codes::bytes_to(column);
    const int64_t available = end - p;
    std::byte few[32] = {};
    if (available < 32) {
      if (available > 0) std::memcpy(few, p, static_cast<size_t>(available));
      p = few;
    }
    const __m256i mask = _mm256_set1_epi8(static_cast<char>((1 << kBits) - 1));
    const __m256i codes = _mm256_and_si256(apart(p), mask);
    out[0] = kTable ? _mm256_shuffle_epi8(table_, codes) : _mm256_xor_si256(codes, flip_);
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

/// 32 columns of ggml's blocks.
template <CodeKind kKind>
struct BlockCodes : Blocks<kKind> {
  using Base = Blocks<kKind>;
  static constexpr int kVectors = 1;
  static constexpr bool kBlocks = true, kMinimums = has_minimums(kKind);
  static int64_t bytes_to(int64_t column) { return column * Base::kBlockBytes / Base::kBlockColumns; }
  explicit BlockCodes(const IntRows&) {}
  void bytes(const std::byte* row, int64_t column, const std::byte*, __m256i (&out)[1]) const {
    out[0] = Base::columns(row, column);
  }
};

/// Codes of eight bits widened to fp32, groups of multiples of eight columns: without VNNI the three digits of a 24-bit
/// input take twice the steps of one product in fp32.
template <int kRows>
void widened_rows(const IntDotCall& call, int64_t r) {
  const IntRows& w = call.w;
  const int64_t groups = (w.cols + w.group - 1) / w.group;
  const __m256i flip = _mm256_set1_epi32(w.zeros == nullptr ? 128 : 0);
  for (int64_t t = 0; t < call.tokens; ++t) {
    const float* x = call.x + t * call.x_stride;
    __m256 total[kRows];
    float rest[kRows] = {};
    for (int i = 0; i < kRows; ++i) total[i] = _mm256_setzero_ps();
    for (int64_t first = 0; first < groups; first += kSegmentGroups) {
      const int64_t count = std::min(kSegmentGroups, groups - first);
      float scales[kRows][kSegmentGroups + 32];
      for (int i = 0; i < kRows; ++i) widen_scales(w, row_of(w, r + i), first, count, scales[i]);
      for (int64_t g = 0; g < count; ++g) {
        const int64_t begin = (first + g) * w.group, end = std::min(begin + w.group, w.cols);
        for (int i = 0; i < kRows; ++i) {
          const Row row = row_of(w, r + i);
          const int zero = w.zeros == nullptr ? 128 : zero_at(row, 8, first + g);
          const __m256i minus = _mm256_set1_epi32(zero);
          const std::byte* codes = row.codes;
          __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
          int64_t c = begin;
          const auto add = [&](int64_t at, __m256& sum) {
            const __m256i code = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + at)));
            const __m256 level = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_xor_si256(code, flip), minus));
            sum = _mm256_fmadd_ps(level, _mm256_loadu_ps(x + at), sum);
          };
          for (; c + 16 <= end; c += 16) {
            _mm_prefetch(reinterpret_cast<const char*>(codes + c) + kAhead, _MM_HINT_T1);
            add(c, sums[0]), add(c + 8, sums[1]);
          }
          if (c + 8 <= end) add(c, sums[0]), c += 8;
          total[i] = _mm256_fmadd_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_set1_ps(scales[i][g]), total[i]);
          for (; c < end; ++c) {
            const int code = std::to_integer<int>(codes[c]) ^ (w.zeros == nullptr ? 128 : 0);
            rest[i] += scales[i][g] * static_cast<float>(code - zero) * x[c];
          }
        }
      }
    }
    for (int i = 0; i < kRows; ++i) call.y[t * call.y_stride + r + i] = w.factor * (sum8(total[i]) + rest[i]);
  }
}

}  // namespace

#define BITLOOM_WIDTH(bits)                                                                                   \
  void int_dot_i##bits##_i24_avx2(const IntDotCall& call) { run_int_dot<Avx2, Codes<bits, false>, 3>(call); } \
  void int_dot_i##bits##_i8_avx2(const IntDotCall& call) { run_int_dot<Avx2, Codes<bits, false>, 1>(call); }
BITLOOM_WIDTH(2)
BITLOOM_WIDTH(3)
BITLOOM_WIDTH(4)
BITLOOM_WIDTH(5)
BITLOOM_WIDTH(6)
BITLOOM_WIDTH(7)
BITLOOM_WIDTH(8)
#undef BITLOOM_WIDTH

void int_dot_i8_f32_avx2(const IntDotCall& call) {
  int64_t r = call.first;
  for (; r + 4 <= call.last; r += 4) widened_rows<4>(call, r);
  for (; r < call.last; ++r) widened_rows<1>(call, r);
}

void int_dot_t4_i24_avx2(const IntDotCall& call) { run_int_dot<Avx2, Codes<4, true>, 3>(call); }
void int_dot_t4_i8_avx2(const IntDotCall& call) { run_int_dot<Avx2, Codes<4, true>, 1>(call); }

#define BITLOOM_BLOCKS(name, kind)                                                                                   \
  void int_dot_##name##_i24_avx2(const IntDotCall& call) { run_int_dot<Avx2, BlockCodes<CodeKind::kind>, 3>(call); } \
  void int_dot_##name##_i8_avx2(const IntDotCall& call) { run_int_dot<Avx2, BlockCodes<CodeKind::kind>, 1>(call); }
#include "kernels/int_dot/blocks.inc"
#undef BITLOOM_BLOCKS

}  // namespace bitloom

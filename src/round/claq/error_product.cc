#include "round/claq/error_product.h"

#include <algorithm>
#include <cmath>

#include "base/simd/vector_clones.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kSlab = 256;  // rows that a thread takes, plain or while they become words
constexpr float kMost = kMostWord;

/// sum (x y)^2, added up in a fixed order.
BITLOOM_VECTOR_CLONES float sum_of_squares(const float* x, const float* y, int64_t n) {
  constexpr int64_t kLanes = 32;
  float lanes[kLanes] = {}, sum = 0;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += (x[i + l] * y[i + l]) * (x[i + l] * y[i + l]);
  }
  for (; i < n; ++i) lanes[0] += (x[i] * y[i]) * (x[i] * y[i]);
  for (const float lane : lanes) sum += lane;
  return sum;
}

/// most = max(most, |factor x|).
BITLOOM_VECTOR_CLONES void raise_to(const float* x, float factor, int64_t n, float* most) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = factor * x[i], size = value < 0 ? -value : value;
    most[i] = size > most[i] ? size : most[i];
  }
}

/// The nearest whole number of |x| <= kMostWord; halves away from zero.
inline int32_t rounded(float x) { return static_cast<int32_t>(x + (x < 0 ? -0.5f : 0.5f)); }

/// Words rounded(factor x y).
BITLOOM_VECTOR_CLONES void round_to_words(const float* x, const float* y, float factor, int64_t n, int16_t* words) {
  for (int64_t i = 0; i < n; ++i) words[i] = static_cast<int16_t>(rounded(factor * x[i] * y[i]));
}

/// Pairs of words: rounded(factors[i] factor0 x0[i]) and rounded(factors[i] factor1 x1[i]).
BITLOOM_VECTOR_CLONES void round_to_pairs(const float* x0, float factor0, const float* x1, float factor1,
                                          const float* factors, int64_t n, int16_t* pairs) {
  for (int64_t i = 0; i < n; ++i) {
    pairs[2 * i] = static_cast<int16_t>(rounded(factors[i] * factor0 * x0[i]));
    pairs[2 * i + 1] = static_cast<int16_t>(rounded(factors[i] * factor1 * x1[i]));
  }
}

/// out = own e + sum.
BITLOOM_VECTOR_CLONES void add_own(float* out, const float* sum, const float* e, float own, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = own * e[i] + sum[i];
}

/// 0 for what is next to nothing, whose inverse times the greatest word would be beyond fp32.
float inverse_of(float x) { return x > 1e-30f ? 1 / x : 0.0f; }

int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

}  // namespace

bool ErrorProduct::words_are_fast() { return find_word_gemm(best_isa()).isa != Isa::kPortable; }

ErrorProduct::ErrorProduct(int64_t rows, int64_t cols, const std::vector<float>& row_scales, bool words,
                           ThreadPool& threads)
    : rows_(rows), cols_(cols), blocks_(parts(cols, kBlock)), strips_(parts(rows, kWordStrip)), threads_(threads) {
  if (!words) return;
  kernel_ = find_word_gemm(best_isa()).kernel;
  inverse_scales_.assign(static_cast<size_t>(rows), 1.0f);
  for (size_t r = 0; r < row_scales.size(); ++r) inverse_scales_[r] = 1 / row_scales[r];
  // Threads write them first, so that they share the time in which the system finds memory.
  e_ = std::make_unique_for_overwrite<int16_t[]>(static_cast<size_t>(blocks_ * strips_ * kWordDepth * kWordStrip));
  c_.resize(static_cast<size_t>(cols)), d_.resize(static_cast<size_t>(blocks_ * strips_ * kWordStrip));
  sums_.resize(static_cast<size_t>(threads.thread_count()));
}

int64_t ErrorProduct::memory(int64_t rows, int64_t cols) { return 2 * (rows + kMostColumns) * cols; }

void ErrorProduct::load(const float* errors, int64_t begin, int64_t end) {
  if (kernel_ == nullptr) return;
  threads_.parallel_for(end - begin, [&](int64_t i) {
    const float squares = sum_of_squares(errors + (begin + i) * rows_, inverse_scales_.data(), rows_);
    c_[static_cast<size_t>(begin + i)] = std::sqrt(squares / static_cast<float>(rows_));
  });
  const int64_t slabs = parts(rows_, kSlab);
  threads_.parallel_for(slabs * parts(end - begin, kBlock),
                        [&](int64_t task) { load_slab(errors, begin / kBlock + task / slabs, end, task % slabs); });
}

/// Words of a block of columns, of which there are some up to `end`, and a slab of rows; what pads both is 0.
void ErrorProduct::load_slab(const float* errors, int64_t block, int64_t end, int64_t slab) {
  const int64_t row = slab * kSlab, count = std::min(rows_ - row, kSlab);
  const int64_t first = block * kBlock, last = std::min(end, first + kBlock);
  float most[kSlab] = {}, inverse[kSlab] = {};
  for (int64_t k = first; k < last; ++k) {
    raise_to(errors + k * rows_ + row, inverse_of(c_[static_cast<size_t>(k)]), count, most);
  }
  for (int64_t r = 0; r < parts(count, kWordStrip) * kWordStrip; ++r) {
    d_[static_cast<size_t>(block * strips_ * kWordStrip + row + r)] = most[r] / kMost;
    inverse[r] = kMost * inverse_of(most[r]);
  }
  for (int64_t at = 0; at < count; at += kWordStrip) {
    const int64_t wide = std::min(count - at, kWordStrip);
    int16_t* words = this->words(block, (row + at) / kWordStrip);
    if (wide < kWordStrip || last < first + kBlock) std::fill_n(words, kWordDepth * kWordStrip, int16_t{0});
    for (int64_t k = first; k < last; k += 2) {
      const int64_t next = std::min(k + 1, last - 1);
      const float factor = inverse_of(c_[static_cast<size_t>(k)]);
      const float next_factor = next == k ? 0.0f : inverse_of(c_[static_cast<size_t>(next)]);
      round_to_pairs(errors + k * rows_ + row + at, factor, errors + next * rows_ + row + at, next_factor, inverse + at,
                     wide, words + (k - first) * kWordStrip);
    }
  }
}

void ErrorProduct::multiply(const float* h, const float* errors, int64_t begin, int64_t end, float* out) {
  if (kernel_ != nullptr) return multiply_words(h, errors, begin, end, out);
  threads_.parallel_for(parts(rows_, kSlab), [&](int64_t slab) {
    const int64_t row = slab * kSlab, count = std::min(rows_ - row, kSlab);
    sgemm(Transpose::kNo, Transpose::kNo, end - begin, count, cols_, 1.0f, h, cols_, errors + row, rows_, 0.0f,
          out + row, rows_);
  });
}

/// p and a of the rows [begin, end) of H.
void ErrorProduct::load_moment(const float* h, int64_t begin, int64_t end) {
  const int64_t stride = blocks_ * kBlock;
  p_.resize(static_cast<size_t>((end - begin) * stride)), a_.resize(static_cast<size_t>((end - begin) * blocks_));
  threads_.parallel_for(end - begin, [&](int64_t i) {
    std::vector<float> row(h + i * cols_, h + (i + 1) * cols_);
    row[static_cast<size_t>(begin + i)] = 0;
    int16_t* words = p_.data() + i * stride;
    for (int64_t b = 0; b < blocks_; ++b) {
      const int64_t first = b * kBlock, count = std::min(cols_ - first, kBlock);
      float most = 0;
      for (int64_t k = first; k < first + count; ++k) {
        most = std::max(most, std::abs(row[static_cast<size_t>(k)] * c_[static_cast<size_t>(k)]));
      }
      a_[static_cast<size_t>(i * blocks_ + b)] = most / kMost;
      round_to_words(row.data() + first, c_.data() + first, kMost * inverse_of(most), count, words + first);
      std::fill(words + first + count, words + first + kBlock, int16_t{0});
    }
  });
}

void ErrorProduct::multiply_words(const float* h, const float* errors, int64_t begin, int64_t end, float* out) {
  load_moment(h, begin, end);
  const int64_t columns = end - begin;
  threads_.parallel_for_thread(parts(rows_, kWordSlab), [&](int64_t slab, int thread) {
    const int64_t row = slab * kWordSlab, count = std::min(rows_ - row, kWordSlab);
    std::vector<float>& sums = sums_[static_cast<size_t>(thread)];
    sums.assign(static_cast<size_t>(columns * kWordSlab), 0.0f);
    WordProduct product{.m = columns, .a_stride = blocks_ * kBlock, .a_scale_stride = blocks_, .c_stride = kWordSlab};
    for (int64_t b = 0; b < blocks_; ++b) {
      product.a = p_.data() + b * kBlock, product.a_scale = a_.data() + b;
      for (int64_t at = 0; at < count; at += kWordStrip) {
        const int64_t strip = (row + at) / kWordStrip;
        product.b = words(b, strip), product.b_scale = d_.data() + (b * strips_ + strip) * kWordStrip;
        product.c = sums.data() + at;
        kernel_(product);
      }
    }
    for (int64_t i = 0; i < columns; ++i) {
      const int64_t c = begin + i;
      add_own(out + i * rows_ + row, sums.data() + i * kWordSlab, errors + c * rows_ + row, h[i * cols_ + c], count);
    }
  });
}

}  // namespace bitloom

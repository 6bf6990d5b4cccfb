#pragma once
// The product that refinement spends its time on (round/claq/refine.h): columns of G = E H, E and G as [columns, rows].
//
//   G_jr = sum_k H_jk E_kr                                              plain: sgemm
//   G_jr = H_jj E_jr + sum_B a_jB d_Br sum_{k in B, k != j} p_jk e_kr   in words, B: blocks of 256 columns
//
//   e_kr = round(E_kr / (c_k d_Br)),  d_Br = max_{k in B} |E_kr / c_k| / 2895,   c_k = root mean square of E_kr / s_r
//   p_jk = round(H_jk c_k / a_jB),    a_jB = max_{k in B, k != j} |H_jk c_k| / 2895
//
// with s the scales of rows. Words of 16 bits, 12.5 of them used, are multiplied at some 2.5 times the rate of fp32
// where the processor sums their products (kernels/word_gemm). Feedback makes G's terms cancel: on SmolLM2's inputs E H
// E^T is a thousandth of what it were if they did not, so that bytes instead of words leave 5 % more of it. What words
// leave more is a five-hundredth of that.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/threads.h"
#include "kernels/word_gemm/word_gemm.h"

namespace bitloom {

class ErrorProduct {
 public:
  /// Whether words are faster than fp32 here.
  static bool words_are_fast();

  /// row_scales [rows] or empty: 1.
  ErrorProduct(int64_t rows, int64_t cols, const std::vector<float>& row_scales, bool words, ThreadPool& threads);

  /// Columns [begin, end) of errors [cols, rows] have changed, from a multiple of kBlock to another or to the last; all
  /// have before the first product.
  void load(const float* errors, int64_t begin, int64_t end);
  /// out [end - begin, rows]: columns [begin, end) of G, end - begin <= kMostColumns; h [end - begin, cols]: rows
  /// [begin, end) of the symmetric H. The same bytes for any number of threads.
  void multiply(const float* h, const float* errors, int64_t begin, int64_t end, float* out);

  static constexpr int64_t kBlock = kWordDepth, kMostColumns = 512;
  /// Bytes, beside kThreadMemory for each thread.
  static int64_t memory(int64_t rows, int64_t cols);
  static constexpr int64_t kWordSlab = 128;  // rows that a thread takes of a product of words
  static constexpr int64_t kThreadMemory = 4 * kMostColumns * kWordSlab;

 private:
  int16_t* words(int64_t block, int64_t strip) {
    return e_.get() + (block * strips_ + strip) * kWordDepth * kWordStrip;
  }
  void load_slab(const float* errors, int64_t block, int64_t end, int64_t slab);
  void load_moment(const float* h, int64_t begin, int64_t end);
  void multiply_words(const float* h, const float* errors, int64_t begin, int64_t end, float* out);

  int64_t rows_, cols_, blocks_, strips_;
  ThreadPool& threads_;
  WordGemmKernel* kernel_ = nullptr;      // null: plain
  std::vector<float> inverse_scales_;     // [rows]
  std::unique_ptr<int16_t[]> e_;          // [blocks, strips] of pairs, see WordProduct::b
  std::vector<int16_t> p_;                // of the columns in work: [columns, blocks * kBlock]
  std::vector<float> c_, d_, a_;          // [cols]; [blocks, strips * kWordStrip]; [columns, blocks]
  std::vector<std::vector<float>> sums_;  // by thread: [columns, rows of a slab]
};

}  // namespace bitloom

#pragma once
// Dense fp32 matrix products. Everything here is row-major, and single-threaded unless it takes a ThreadPool.
//
// Goals: the distribution's fastest sgemm (oneDNN; blocked_gemm.h in a program that runs models only) behind a page of
// functions; results that do not depend on the number of threads, because work is cut into tiles of fixed size and each
// tile is one single-threaded call.
// Non-goals: broadcasting, batching, dtype dispatch (weights arrive through RowSource, decoded tile by tile).

#include <cstdint>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"

namespace bitloom {

enum class Transpose { kNo, kYes };

/// C [m,n] = alpha * op(A) op(B) + beta * C, fp32, on the calling thread only.
/// op(A) is [m,k], op(B) is [k,n]; lda, ldb, ldc are the row strides of the matrices as stored.
void sgemm(Transpose trans_a, Transpose trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
           int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);

/// C [m,n] = alpha * A op(B) + beta * C of contiguous matrices, A [m,k], in panels of rows on all threads.
void sgemm_panels(Transpose trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b,
                  float beta, float* c, ThreadPool& threads);

/// Rows of W that threads have decoded: a buffer for each thread, which only grows.
struct TileScratch {
  std::vector<std::vector<float>> tiles;
};

/// Y [tokens, W.rows] = X [tokens, W.cols] W^T (+ bias [W.rows] when not null), fp32 accumulation.
/// W is decoded a tile of rows at a time (at most kLinearTileRows x cols fp32 of scratch per thread), so its storage
/// may be dense fp32/bf16, GGUF blocks or quantized. x_stride and y_stride are row strides in elements. With a scratch
/// that has served a product as wide, nothing is allocated.
void linear(const float* x, int64_t x_stride, int64_t tokens, const RowSource& w, const float* bias, float* y,
            int64_t y_stride, TileScratch& scratch, ThreadPool& threads);

/// The same for a dense fp32 matrix [rows, cols] in memory.
void linear_dense(const float* x, int64_t x_stride, int64_t tokens, const float* w, int64_t rows, int64_t cols,
                  const float* bias, float* y, int64_t y_stride, ThreadPool& threads);

inline constexpr int64_t kLinearTileRows = 64;

/// GFLOP/s of sgemm on square matrices of this size on all threads at once: the roof that other rates are compared
/// with.
double measure_sgemm_gflops(int64_t size, double seconds, ThreadPool& threads);

}  // namespace bitloom

#pragma once
// A matrix as a kernel reads it: pointers into the bytes that are stored, which kernel, and in which order its rows
// come.
//
// Goals: products of few tokens at the speed of memory, of many, with inputs of 8 bits or BF16, at the processor's; no
// copy of the weights; nothing allocated per product. Non-goals: storages without a kernel, and many exact tokens:
// those are decoded tile by tile (linalg/gemm.h).

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/memory/row_source.h"
#include "base/simd/cpu_features.h"
#include "base/threads.h"
#include "kernels/bf16_gemm/bf16_gemm.h"
#include "kernels/dense_dot/dense_dot.h"
#include "kernels/int_dot/int_dot.h"
#include "kernels/int_gemm/int_gemm.h"
#include "kernels/level_dot/level_dot.h"
#include "kernels/sparse_dot/sparse_dot.h"
#include "kernels/trellis_dot/trellis_dot.h"
#include "kernels/trellis_gemm/trellis_gemm.h"
#include "ops/activations.h"
#include "ops/family_product.h"
#include "ops/input_blocks.h"
#include "ops/packed_frame.h"
#include "ops/packed_low_rank.h"

namespace bitloom {

struct PackOptions {
  Isa isa = Isa::kPortable;
  Activations activations = Activations::kExact;
};

/// Tokens up to which every packed matrix is served. Beyond, only those with a kernel for many are; the others are
/// decoded a tile at a time and multiplied by sgemm.
inline constexpr int64_t kFewTokens = 8;
/// Tokens up to which every product is that of a single token, bit for bit: beyond, a matrix with a kernel for many
/// uses it, since unpacking to a panel pays from then on.
inline constexpr int64_t kUnpackedTokens = 4;

class PackedLinear {
 public:
  /// Row r of the product is row order[r] of `matrix`; empty: as stored. Null when there is no kernel for its storage.
  static std::shared_ptr<const PackedLinear> pack(RowSourcePtr matrix, std::vector<int64_t> order,
                                                  const PackOptions& options);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return matrix_->cols(); }
  /// For few tokens: just one of the five is not null.
  const IntDotEntry* int_kernel() const { return int_kernel_; }
  const LevelDotEntry* level_kernel() const { return level_kernel_; }
  const DenseDotEntry* dense_kernel() const { return dense_kernel_; }
  const TrellisDotEntry* trellis_kernel() const { return trellis_kernel_; }
  const FamilyProduct* family_product() const { return family_.get(); }
  /// Whether the product is that of x as it is given, to the roundings of fp32's sums, where every token's values are
  /// multiples of a scale that apply() is told, by integers up to 127: nothing else of x, nor of W, is rounded.
  bool keeps_multiples() const { return !(frame_ && frame_->moves_input()) && keeps_multiples_inside(); }
  /// The same where apply() is given what the frame makes of x.
  bool keeps_multiples_inside() const { return family_ == nullptr && !rounds_levels_ && bf16_gemm_ == nullptr; }
  /// Whether its kernel multiplies what the other's does of one input: it as it is, or what equal frames make of it.
  bool reads_as(const PackedLinear& other) const;
  /// Around what the kernel multiplies; null when there is none.
  const PackedFrame* frame() const { return frame_ ? &*frame_ : nullptr; }
  /// Of the low-rank term A B, which is added to the kernel's product inside the frame; 0 when there is none.
  int64_t rank() const { return low_rank_ == nullptr ? 0 : low_rank_->rank(); }
  /// B; null when there is none.
  const PackedLinear* inner_product() const { return inner_.get(); }
  /// y [tokens, rows()] += A z, z [tokens, rank()] what B makes of x.
  void add_low_rank(int64_t tokens, const float* z, float* y, ThreadPool& threads) const;
  /// Kernels for many tokens are for Activations::kInt8 alone, and not for every storage. BF16 ones unpack nothing that
  /// few tokens would gain by.
  bool uses_gemm(int64_t tokens) const {
    return has_gemm() && tokens > (bf16_gemm_ != nullptr ? kFewTokens : kUnpackedTokens);
  }
  /// Whether products of any number of tokens read 8-bit integers.
  bool reads_integers() const { return has_gemm() && bf16_gemm_ == nullptr; }
  /// For many tokens, which it reads as BF16; null where others or none serve them.
  const Bf16GemmEntry* bf16_kernel() const { return bf16_gemm_; }
  bool serves(int64_t tokens) const { return tokens <= kFewTokens || has_gemm(); }

 private:
  friend class Products;
  PackedLinear() = default;
  bool has_gemm() const {
    return (gemm_kernel_ != nullptr || trellis_gemm_ != nullptr || bf16_gemm_ != nullptr) &&
           (inner_ == nullptr || inner_->has_gemm());
  }
  bool pack_ints(const PackOptions& options);
  bool pack_levels(const PackOptions& options);
  bool pack_affine(const PackOptions& options);
  bool pack_blocks(const PackOptions& options);
  bool pack_trellis(const PackOptions& options);
  bool pack_dense(const PackOptions& options);
  bool pack_family(const PackOptions& options);
  bool pack_outliers(const PackOptions& options);
  bool pack_low_rank(const PackOptions& options);
  void add_outliers(int64_t first, int64_t last, int64_t tokens, const float* x, float* y) const;
  IntDotCall int_call(const float* x, int64_t tokens, size_t reader, InputBlocks& blocks) const;

  RowSourcePtr matrix_;         // keeps the bytes alive
  std::vector<int64_t> order_;  // empty: as stored, or the frame's
  std::optional<PackedFrame> frame_;
  std::vector<int8_t> levels_;  // what the view points to, where it has levels
  std::vector<CodeRun> runs_;   // the same, where the bits of codes differ
  bool rounds_levels_ = false;  // to integers, of a format whose levels are none
  const IntDotEntry* int_kernel_ = nullptr;
  const LevelDotEntry* level_kernel_ = nullptr;
  const DenseDotEntry* dense_kernel_ = nullptr;
  const IntGemmEntry* gemm_kernel_ = nullptr;
  const Bf16GemmEntry* bf16_gemm_ = nullptr;
  const TrellisDotEntry* trellis_kernel_ = nullptr;
  const TrellisGemmEntry* trellis_gemm_ = nullptr;
  std::unique_ptr<const FamilyProduct> family_;
  std::unique_ptr<const PackedLowRank> low_rank_;  // null: no such term
  std::shared_ptr<const PackedLinear> inner_;      // its factor B
  SparseDotKernel* outlier_kernel_ = nullptr;      // null: no outliers
  SparseRows outliers_;
  DotInput trellis_input_ = DotInput::kInt24;
  IntRows ints_;
  LevelRows level_rows_;
  std::vector<float> float_levels_;  // what that points to
  TrellisRows trellis_;
  const std::byte* dense_ = nullptr;
  int64_t rows_ = 0;
};

/// A matrix that reads an input: y [tokens, w.rows()] = x W^T (+ bias [w.rows()] when not null).
struct Reader {
  const PackedLinear* w = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
};

/// All readers' products with x [tokens, cols], dense. Neighbours that read the same of the input (reads_as()) share a
/// loop, and what is prepared of it. `scales` [tokens], or null: see keeps_multiples(). `inside`: x is already what the
/// readers' frames, which enter it alike, make of it. The same bytes for any number of threads: a row's product is one
/// kernel's, whichever rows it comes with. At most kMostReaders, of one width, which all serve so many tokens
/// (asserted).
inline constexpr size_t kMostReaders = 4;
void apply(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks, ThreadPool& threads,
           const float* scales = nullptr, bool inside = false);

}  // namespace bitloom

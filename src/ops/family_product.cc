#include "ops/family_product.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "format/families/codebook/codebook_storage.h"
#include "format/families/partial/partial_storage.h"
#include "format/families/planes/planes_matrix.h"
#include "format/families/sign_rank1/sign_rank1.h"
#include "format/families/vector/block_vectors.h"
#include "format/families/vector/e8p.h"
#include "format/families/vector/vector_storage.h"
#include "kernels/block_vector_dot/block_vector_dot.h"
#include "kernels/column_dot/column_dot.h"
#include "kernels/e8p_dot/e8p_dot.h"
#include "kernels/int_dot/int_dot.h"
#include "kernels/int_dot/round_input.h"
#include "kernels/partial_dot/partial_dot.h"
#include "kernels/plane_dot/plane_dot.h"
#include "kernels/row_table_dot/row_table_dot.h"
#include "kernels/vector_dot/vector_dot.h"
#include "packing/bitstream.h"
#include "packing/row_words.h"

namespace bitloom {
namespace {

const std::byte* bytes_of_part(const StoredMatrix& matrix, const char* suffix) {
  return matrix.find_part(suffix)->bytes.data();
}

class ColumnProduct final : public FamilyProduct {
 public:
  ColumnProduct(const StoredMatrix& matrix, Isa isa, bool exact)
      : kernel_(find_column_dot(isa).kernel), exact_(exact), layout_(matrix.find_part(".widths")->bytes) {
    w_ = {bytes_of_part(matrix, ".codes"), bytes_of_part(matrix, ".tables"), &layout_, matrix.rows(), matrix.cols()};
  }
  int64_t row_multiple() const override { return kTileRows; }
  int64_t scratch_bytes() const override { return column_dot_scratch(w_); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    kernel_({w_, first / kTileRows, tiles_of(last), tokens, exact_, x, y, y_stride, scratch});
  }

 private:
  ColumnDotKernel* kernel_;
  bool exact_;
  ColumnLayout layout_;
  ColumnTables w_;
};

class RowTableProduct final : public FamilyProduct {
 public:
  RowTableProduct(const StoredMatrix& matrix, const CodebookStorage& storage, Isa isa) {
    const TableShape shape = table_shape(storage, matrix.rows(), matrix.cols());
    w_ = {bytes_of_part(matrix, ".codes"),
          bytes_of_part(matrix, ".tables"),
          storage.bits(),
          matrix.rows(),
          matrix.cols(),
          shape.table_rows,
          shape.table_cols};
    kernel_ = find_row_table_dot(isa, w_.group, w_.cols).kernel;
  }
  int64_t row_multiple() const override { return 4; }
  int64_t scratch_bytes() const override { return 0; }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte*) const override {
    kernel_({w_, first, last, tokens, x, y, y_stride});
  }

 private:
  RowTableDotKernel* kernel_;
  RowTables w_;
};

/// y = g (S (h x)): columns' scales are the input's, rows' those of groups as wide as a row.
class SignProduct final : public FamilyProduct {
 public:
  SignProduct(const StoredMatrix& matrix, Isa isa, bool exact)
      : kernel_(*find_int_dot(isa, {1, CodeKind::kSign, exact, matrix.cols(), matrix.cols()})),
        col_scales_(static_cast<size_t>(matrix.cols())) {
    decode_to_f32(DType::kF16, bytes_of_part(matrix, ".col_scales"), 0, matrix.cols(), col_scales_.data());
    w_.codes = bytes_of_part(matrix, ".signs"), w_.scales = bytes_of_part(matrix, ".row_scales");
    w_.rows = matrix.rows(), w_.cols = matrix.cols(), w_.row_bytes = bitstream_bytes(1, w_.cols);
    w_.group = w_.cols, w_.scale_rows = w_.rows, w_.scale_row_bytes = 2;
  }
  int64_t row_multiple() const override { return 8; }
  int64_t scratch_bytes() const override { return kTokens * token_bytes(); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    for (int64_t t = 0; t < tokens; t += kTokens) {
      run_some(first, last, std::min(kTokens, tokens - t), x + t * w_.cols, y + t * y_stride, y_stride, scratch);
    }
  }

 private:
  static constexpr int64_t kTokens = 8;  // that share each load of weights

  int64_t stride() const { return (w_.cols + kInputPadding - 1) / kInputPadding * kInputPadding; }
  int64_t lanes() const { return stride() / lane_columns(kernel_.order); }
  int64_t planes() const { return kernel_.input == DotInput::kInt24 ? 3 : 1; }
  /// h x; its digits; scales and two kinds of sums.
  int64_t token_bytes() const { return stride() * (4 + planes()) + lanes() * 12; }

  void run_some(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
                std::byte* scratch) const {
    auto* scaled = reinterpret_cast<float*>(scratch);
    auto* scales = scaled + tokens * stride();
    auto* high = reinterpret_cast<int32_t*>(scales + tokens * lanes());
    auto* rest = high + tokens * lanes();
    auto* digits = reinterpret_cast<int8_t*>(rest + tokens * lanes());
    for (int64_t t = 0; t < tokens; ++t) {
      float* row = scaled + t * stride();
      for (int64_t c = 0; c < w_.cols; ++c) row[c] = x[t * w_.cols + c] * col_scales_[static_cast<size_t>(c)];
      if (kernel_.input == DotInput::kF32) continue;
      const int64_t at = t * lanes();
      round_input(row, w_.cols, kernel_.input, kernel_.order,
                  {digits + t * planes() * stride(), scales + at, high + at, rest + at, stride()});
    }
    IntDotCall call;
    call.w = w_, call.first = first, call.last = last, call.tokens = tokens;
    call.x = scaled, call.x_stride = stride();
    call.rounded = {digits, scales, high, rest, stride()};
    call.y = y, call.y_stride = y_stride;
    kernel_.kernel(call);
  }

  const IntDotEntry& kernel_;
  std::vector<float> col_scales_;
  IntRows w_;
};

class PartialProduct final : public FamilyProduct {
 public:
  PartialProduct(const StoredMatrix& matrix, Isa isa) : kernel_(find_partial_dot(isa).kernel) {
    const std::span<const std::byte> mask = matrix.find_part(".mask")->bytes;
    const int64_t row_bytes = bitstream_bytes(1, matrix.cols());
    for (int64_t r = 0; r < matrix.rows(); ++r) {
      int64_t count = 0;
      for (const std::byte byte : mask.subspan(static_cast<size_t>(r * row_bytes), static_cast<size_t>(row_bytes))) {
        count += std::popcount(std::to_integer<unsigned>(byte));
      }
      starts_.push_back(starts_.back() + count);
    }
    padded_ = starts_.back() != matrix.find_part(".codes")->shape[0];
    w_ = {mask.data(),
          bytes_of_part(matrix, ".signs"),
          bytes_of_part(matrix, ".codes"),
          bytes_of_part(matrix, ".scales"),
          starts_.data(),
          matrix.rows(),
          matrix.cols()};
  }
  /// Of a file that nobody verified: padding bits are set, so that rows do not begin where their masks say.
  bool has_padding_bits() const { return padded_; }
  int64_t row_multiple() const override { return 8; }
  int64_t scratch_bytes() const override { return 0; }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte*) const override {
    kernel_({w_, first, last, tokens, x, y, y_stride});
  }

 private:
  PartialDotKernel* kernel_;
  std::vector<int64_t> starts_ = {0};
  bool padded_ = false;
  PartialRows w_;
};

class PlaneProduct final : public FamilyProduct {
 public:
  PlaneProduct(const StoredMatrix& matrix, const PlanesStorage& storage, Isa isa, bool exact)
      : kernel_(find_plane_dot(isa).kernel),
        exact_(exact),
        layout_(salient_columns(matrix), storage.width(matrix.cols())) {
    w_ = {.codes = bytes_of_part(matrix, ".codes"),
          .levels = bytes_of_part(matrix, ".levels"),
          .level_scales = storage.fp8 ? bytes_of_part(matrix, ".level_scales") : nullptr,
          .layout = &layout_,
          .places = level_places(storage),
          .level_count = storage.levels(),
          .rows = matrix.rows(),
          .cols = matrix.cols()};
  }
  int64_t row_multiple() const override { return kTileRows; }
  int64_t scratch_bytes() const override { return plane_dot_scratch(w_); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    kernel_({w_, first / kTileRows, tiles_of(last), tokens, exact_, x, y, y_stride, scratch});
  }

 private:
  static std::vector<uint8_t> salient_columns(const StoredMatrix& matrix) {
    std::vector<uint8_t> salient(static_cast<size_t>(matrix.cols()), 1);
    if (const TensorPart* part = matrix.find_part(".salient"); part != nullptr) {
      unpack_bits(part->bytes.data(), 0, matrix.cols(), 1, salient.data());
    }
    return salient;
  }

  PlaneDotKernel* kernel_;
  bool exact_;
  PlaneLayout layout_;
  PlaneTiles w_;
};

/// Of codebooks of 16 or 256 vectors.
class VectorProduct final : public FamilyProduct {
 public:
  VectorProduct(const StoredMatrix& matrix, const VectorStorage& storage, Isa isa, bool exact)
      : kernel_(find_vector_dot(isa).kernel),
        exact_(exact),
        columns_(static_cast<size_t>(storage.codebooks * storage.entries() * storage.group)) {
    std::vector<float> vectors(columns_.size());
    decode_to_f32(DType::kF16, bytes_of_part(matrix, ".codebooks"), 0, static_cast<int64_t>(vectors.size()),
                  vectors.data());
    for (int64_t i = 0; i < storage.codebooks * storage.entries(); ++i) {
      const int64_t m = i / storage.entries(), entry = i % storage.entries();
      for (int64_t t = 0; t < storage.group; ++t) {
        columns_[static_cast<size_t>((m * storage.group + t) * storage.entries() + entry)] =
            vectors[static_cast<size_t>(i * storage.group + t)];
      }
    }
    w_ = {bytes_of_part(matrix, ".codes"),
          columns_.data(),
          bytes_of_part(matrix, ".scales"),
          matrix.rows(),
          matrix.cols(),
          storage.codebooks,
          storage.group,
          static_cast<int>(storage.bits)};
  }
  int64_t row_multiple() const override { return kVectorRows; }
  int64_t scratch_bytes() const override { return vector_dot_scratch(w_); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    kernel_({w_, first / kVectorRows, (last + kVectorRows - 1) / kVectorRows, tokens, exact_, x, y, y_stride, scratch});
  }

 private:
  VectorDotKernel* kernel_;
  bool exact_;
  std::vector<float> columns_;  // [M, G, vectors]
  AdditiveRows w_;
};

/// Of codebooks for blocks.
class BlockVectorProduct final : public FamilyProduct {
 public:
  BlockVectorProduct(const StoredMatrix& matrix, const BlockVectorStorage& storage, Isa isa, bool exact)
      : kernel_(find_block_vector_dot(isa).kernel), exact_(exact) {
    const VectorBlocks blocks(storage, matrix.rows(), matrix.cols());
    w_.codes = bytes_of_part(matrix, ".codes"), w_.codebooks = bytes_of_part(matrix, ".codebooks");
    w_.scales = bytes_of_part(matrix, ".scales"), w_.rows = matrix.rows(), w_.cols = matrix.cols();
    w_.bits = static_cast<int>(storage.bits), w_.group = storage.group;
    w_.height = blocks.height, w_.width = blocks.width, w_.across = blocks.across;
  }
  int64_t row_multiple() const override { return kBlockVectorTile; }
  int64_t scratch_bytes() const override { return block_vector_dot_scratch(w_); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    const int64_t tiles = (last + kBlockVectorTile - 1) / kBlockVectorTile;
    for (int64_t t = 0; t < tokens; t += kBlockVectorTokens) {
      kernel_({w_, first / kBlockVectorTile, tiles, std::min(kBlockVectorTokens, tokens - t), exact_, x + t * w_.cols,
               y + t * y_stride, y_stride, scratch});
    }
  }

 private:
  BlockVectorDotKernel* kernel_;
  bool exact_;
  BlockVectorRows w_;
};

/// Of a lattice's points.
class E8pProduct final : public FamilyProduct {
 public:
  E8pProduct(const StoredMatrix& matrix, Isa isa, bool exact) : kernel_(find_e8p_dot(isa).kernel), exact_(exact) {
    static const E8pTables tables(reinterpret_cast<const int8_t(*)[kE8pPoint]>(e8p_table().data()));
    w_.codes = bytes_of_part(matrix, ".codes"), w_.tables = &tables;
    w_.rows = matrix.rows(), w_.cols = matrix.cols();
    std::memcpy(&w_.scale, bytes_of_part(matrix, ".scale"), sizeof w_.scale);
  }
  int64_t row_multiple() const override { return 2; }
  int64_t scratch_bytes() const override { return e8p_dot_scratch(w_); }
  void run(int64_t first, int64_t last, int64_t tokens, const float* x, float* y, int64_t y_stride,
           std::byte* scratch) const override {
    for (int64_t t = 0; t < tokens; t += kE8pTokens) {
      kernel_({w_, first, last, std::min(kE8pTokens, tokens - t), exact_, x + t * w_.cols, y + t * y_stride, y_stride,
               scratch});
    }
  }

 private:
  E8pDotKernel* kernel_;
  bool exact_;
  E8pRows w_;
};

}  // namespace

std::unique_ptr<const FamilyProduct> make_family_product(const StoredMatrix& matrix, Isa isa, bool exact) {
  if (const auto* codebook = matrix.spec().base.get_if<CodebookStorage>(); codebook != nullptr) {
    if (codebook->share == CodebookStorage::Share::kColumn) return std::make_unique<ColumnProduct>(matrix, isa, exact);
    return std::make_unique<RowTableProduct>(matrix, *codebook, isa);
  }
  if (const auto* planes = matrix.spec().base.get_if<PlanesStorage>(); planes != nullptr) {
    return std::make_unique<PlaneProduct>(matrix, *planes, isa, exact);
  }
  if (matrix.spec().base.get_if<SignRank1Storage>() != nullptr)
    return std::make_unique<SignProduct>(matrix, isa, exact);
  if (matrix.spec().base.get_if<PartialStorage>() != nullptr) {
    auto product = std::make_unique<PartialProduct>(matrix, isa);
    if (!product->has_padding_bits()) return product;
  }
  const auto* vector = matrix.spec().base.get_if<VectorStorage>();
  if (vector != nullptr && (vector->bits == 4 || vector->bits == 8)) {
    return std::make_unique<VectorProduct>(matrix, *vector, isa, exact);
  }
  if (const auto* blocks = matrix.spec().base.get_if<BlockVectorStorage>(); blocks != nullptr && blocks->scaled == 0) {
    return std::make_unique<BlockVectorProduct>(matrix, *blocks, isa, exact);
  }
  if (matrix.spec().base.get_if<E8pStorage>() != nullptr) return std::make_unique<E8pProduct>(matrix, isa, exact);
  return nullptr;
}

}  // namespace bitloom

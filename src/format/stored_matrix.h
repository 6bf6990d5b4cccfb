#pragma once
// A matrix as it is stored: one base family and side terms, over parts with names. It knows how to decode and check
// itself and its true size; it does not know which method made it.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "format/families/grid/grid_matrix.h"
#include "format/storage.h"

namespace bitloom {

/// Of all stored layouts, in a directory's quantization_config; another for any part that changes its meaning.
inline constexpr int64_t kLayoutVersion = 3;

class StoredMatrix final : public RowSource {
 public:
  /// From parts, which `owner` keeps alive (a mapped file, or a holder of vectors). Checks presence, dtypes, shapes and
  /// sizes, not values (see check_values). Error(kRefused) starts with `name`.
  static std::shared_ptr<const StoredMatrix> from_parts(const std::string& name, const Storage& storage, int64_t rows,
                                                        int64_t cols, const std::vector<TensorPart>& parts,
                                                        std::shared_ptr<const void> owner);

  const Storage& spec() const { return spec_; }
  /// In the order of greatest_parts().
  const std::vector<TensorPart>& parts() const { return parts_; }
  const TensorPart* find_part(const std::string& suffix) const;
  /// The base of a scaled grid, for kernels and roundings of that family; null for any other.
  const GridMatrix* grid() const { return dynamic_cast<const GridMatrix*>(base_.get()); }
  bool has_side_terms() const { return !side_.empty(); }

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  /// Where a side term mixes rows (SideView::row_block), reads the blocks that the rows lie in and holds one of them.
  void decode_rows(int64_t begin, int64_t end, float* out) const override;
  int64_t stored_bytes() const override;
  std::string storage() const override { return to_string(spec_); }

  /// Bits per weight: as papers count them, and every stored byte of this matrix over its weights.
  double nominal_bits() const;
  double true_bits() const;

  /// Error(kUnverified), starting with `name`, for a code that is no number of the format, a scale or a level that is
  /// not finite, a negative scale where none may be (allows_negative_scales), padding bits that are not zero.
  void check_values(const std::string& name) const;

 private:
  StoredMatrix() = default;
  void decode_blocks(int64_t begin, int64_t end, float* out) const;

  Storage spec_;
  int64_t rows_ = 0, cols_ = 0;
  std::vector<TensorPart> parts_;
  std::shared_ptr<const void> owner_;
  std::unique_ptr<const BaseMatrix> base_;
  std::vector<std::unique_ptr<const SideView>> side_;
  int64_t row_block_ = 1;  // rows that side terms need together
};

/// A matrix over bytes that it owns, one vector per part in the order of greatest_parts(). A part of one dimension has
/// the extent that its bytes give; any other must have its announced size. Errors as from_parts.
std::shared_ptr<const StoredMatrix> stored_from_bytes(const std::string& name, const Storage& storage, int64_t rows,
                                                      int64_t cols, std::vector<std::vector<std::byte>> bytes);

}  // namespace bitloom

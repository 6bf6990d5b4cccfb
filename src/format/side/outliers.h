#pragma once
// Side term "outliers": a few entries of a matrix in fp16, row by row (CSR), added to what the base decodes to.
//
//   W(r, c) = base(r, c) + sum of the values of row r whose column is c
//
// Parts, for W [rows, cols] with n entries:
//   .outlier_values   F16 [n]          row after row, columns ascending
//   .outlier_columns  U16 [n]          so at most 65536 columns
//   .outlier_starts   U32 [rows + 1]   row r holds entries [starts[r], starts[r + 1])

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/side/side_view.h"

namespace bitloom {

inline constexpr int64_t kMostOutlierColumns = 65536;

struct OutlierStorage {
  double most = 0;  // share of the weights that may have an entry; 0: no such side term
  bool present() const { return most > 0; }
  bool operator==(const OutlierStorage&) const = default;
};

/// "outliers0.001". `whole` is quoted in messages: Error(kUsage) for a share that is not above 0 and at most 0.5.
OutlierStorage parse_outliers(std::string_view text, std::string_view whole);
std::string to_string(const OutlierStorage& storage);

/// As CLAQ counts them: 16 bits an entry, positions ignored (true bits are the file's).
double nominal_bits(const OutlierStorage& storage, int64_t rows, int64_t cols);

/// Entries of a [rows, cols] matrix at most: most * rows * cols, rounded up.
int64_t most_outliers(const OutlierStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const OutlierStorage& storage, int64_t rows, int64_t cols);
inline bool sizes_are_fixed(const OutlierStorage&) { return false; }

/// One entry, for making parts.
struct Outlier {
  int64_t row = 0, col = 0;
  float value = 0;
};

/// The bytes of the three parts, in the order of greatest_parts. `outliers` in any order, each place at most once.
/// Values are rounded to fp16, ties to even.
std::vector<std::vector<std::byte>> pack_outliers(std::vector<Outlier> outliers, int64_t rows);

/// A view of parts that somebody else owns.
class OutlierView final : public SideView {
 public:
  /// Error(kRefused), starting with `name`: parts that are missing or of a wrong size, rows that do not follow each
  /// other. What columns and values say is check_values' business.
  OutlierView(const std::string& name, const OutlierStorage& storage, int64_t rows, int64_t cols,
              const std::vector<TensorPart>& parts);

  void apply(int64_t begin, int64_t end, float* out) const override;
  double nominal_bits() const override;
  /// Error(kUnverified): a column out of range or out of order, a value that is not finite.
  void check_values(const std::string& name) const override;

 private:
  uint32_t start_of(int64_t row) const;
  uint16_t column_of(int64_t index) const;
  float value_of(int64_t index) const;

  int64_t rows_, cols_;
  const std::byte *values_, *columns_, *starts_;
};

std::unique_ptr<const SideView> open_side(const std::string& name, const OutlierStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts);

}  // namespace bitloom

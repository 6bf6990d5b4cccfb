#pragma once
// Side term "order": the base's columns are stored in another order than the matrix's, as they were rounded
// ("act-order") or as a layout wants them.
//
//   W[:, order[i]] = base[:, i]
//
// Part, for W [rows, cols]:
//   .order  U16 [cols], or U32 where cols > 65536   a permutation of the columns

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/side/side_view.h"

namespace bitloom {

struct ColumnOrderStorage {
  bool reordered = false;  // false: no such side term
  bool present() const { return reordered; }
  bool operator==(const ColumnOrderStorage&) const = default;
};

/// "order". `whole` is quoted in messages: Error(kUsage) for anything more.
ColumnOrderStorage parse_column_order(std::string_view text, std::string_view whole);
std::string to_string(const ColumnOrderStorage& storage);

/// Nothing: papers count no positions (true bits are the file's).
double nominal_bits(const ColumnOrderStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const ColumnOrderStorage& storage, int64_t rows, int64_t cols);
inline bool sizes_are_fixed(const ColumnOrderStorage&) { return true; }

/// The bytes of the part. `order` is a permutation.
std::vector<std::byte> pack_column_order(const std::vector<int64_t>& order);

/// Error(kRefused), starting with `name`: a part that is missing or does not fit, or is no permutation.
std::unique_ptr<const SideView> open_side(const std::string& name, const ColumnOrderStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts);

}  // namespace bitloom

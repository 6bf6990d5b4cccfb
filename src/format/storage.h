#pragma once
// How a matrix is stored, as a small printable value: one base family and what is added to it.
// parse_storage(to_string(s)) == s. What is stored, and nothing else: no search, no method, no kernel.

#include <string>
#include <string_view>
#include <vector>

#include "format/base_storage.h"
#include "format/side/side_terms.h"

namespace bitloom {

struct Storage {
  BaseStorage base;
  SideTerms side;
  bool operator==(const Storage&) const = default;
};

/// A base and any of the terms of side_terms.h, each behind a '+', in any order: "int4-g128", "codebook2.5-col",
/// "codebook3-col+outliers0.001". A '+' before a digit is an exponent's. Options of the base that its family does not
/// know are appended to `others`; null: they are an error. Error(kUsage) names the part, the allowed ones, the nearest
/// spelling.
Storage parse_storage(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const Storage& storage);
/// What may stand behind '-' in this storage's family, for messages.
std::vector<std::string> storage_option_names(const Storage& storage);

/// Bits per weight as papers count them.
double nominal_bits(const Storage& storage, int64_t rows, int64_t cols);

/// The same with codes of every width that its family offers an allocation, narrowest first: "int4-g64" gives int2-g64
/// to int8-g64. Just the storage itself where the family has one width.
std::vector<Storage> at_all_widths(const Storage& storage);

/// Every part of a [rows, cols] matrix, each at its greatest: what a file must make room for. A matrix tells its own
/// sizes (StoredMatrix::parts()).
std::vector<TensorPart> greatest_parts(const Storage& storage, int64_t rows, int64_t cols);

/// Whether every matrix of one shape has just these sizes: then a file can announce them before anything is rounded.
bool has_fixed_sizes(const Storage& storage);

/// Error(kUsage), naming `name` and the storage, when a matrix of so many columns cannot be stored so.
void check_storable(const std::string& name, const Storage& storage, int64_t cols);

}  // namespace bitloom

#pragma once
// How a matrix is stored, as a small printable value: one base family and what is added to it.
// parse_storage(to_string(s)) == s. What is stored, and nothing else: no search, no method, no kernel.

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/any_value.h"
#include "format/family.h"
#include "format/side/outliers.h"

namespace bitloom {

/// The row of base_families() whose storage is of this type.
const FamilyRow& family_of(const std::type_info& storage_type);

/// A type that family_row makes a row of.
template <typename S>
concept FamilyStorage = std::equality_comparable<S> && requires(const S& s, int64_t n) {
  { greatest_parts(s, n, n) } -> std::same_as<std::vector<TensorPart>>;
  { has_fixed_sizes(s) } -> std::same_as<bool>;
};

/// The storage of some base family, with the family's row.
class BaseStorage {
 public:
  /// What "int4" names.
  BaseStorage();
  BaseStorage(const FamilyRow& family, AnyValue storage) : family_(&family), value_(std::move(storage)) {}
  /// From a family's own storage, of which base_families() has the row.
  template <FamilyStorage S>
  BaseStorage(S storage) : BaseStorage(family_of(typeid(S)), AnyValue(std::move(storage))) {}

  const FamilyRow& family() const { return *family_; }
  const AnyValue& value() const { return value_; }
  /// Null when it is another family's.
  template <typename S>
  const S* get_if() const {
    return value_.get_if<S>();
  }
  template <typename S>
  S* get_if() {
    return value_.get_if<S>();
  }
  /// The caller knows that it is this family's.
  template <typename S>
  const S& get() const {
    return value_.get<S>();
  }
  bool operator==(const BaseStorage& other) const { return value_ == other.value_; }

 private:
  const FamilyRow* family_;
  AnyValue value_;
};

/// What is added to the base: W = base + sparse outliers.
struct SideTerms {
  OutlierStorage outliers;
  bool operator==(const SideTerms&) const = default;
};

struct Storage {
  BaseStorage base;
  SideTerms side;
  bool operator==(const Storage&) const = default;
};

/// "int4-g128", "codebook2.5-col", "codebook3-col+outliers0.001". Options of the base that its family does not know are
/// appended to `others`; null: they are an error. Error(kUsage) names the part, the allowed ones, the nearest spelling.
Storage parse_storage(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const Storage& storage);
/// What may stand behind '-' in this storage's family, for messages.
std::vector<std::string> storage_option_names(const Storage& storage);

/// Bits per weight as papers count them.
double nominal_bits(const Storage& storage, int64_t rows, int64_t cols);

/// Every part of a [rows, cols] matrix, each at its greatest: what a file must make room for. A matrix tells its own
/// sizes (StoredMatrix::parts()).
std::vector<TensorPart> greatest_parts(const Storage& storage, int64_t rows, int64_t cols);

/// Whether every matrix of one shape has just these sizes: then a file can announce them before anything is rounded.
bool has_fixed_sizes(const Storage& storage);

/// Error(kUsage), naming `name` and the storage, when a matrix of so many rows cannot be stored so.
void check_storable(const std::string& name, const Storage& storage, int64_t rows);

}  // namespace bitloom

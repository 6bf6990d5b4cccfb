#pragma once
// The storage of some base family (format/family.h): a value that compares, copies and prints as that family's own.

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text/any_value.h"
#include "format/family.h"

namespace bitloom {

/// The row of base_families() whose storage is of this type.
const FamilyRow& family_with(const std::type_info& storage_type);

class BaseStorage;

/// A type that family_row makes a row of.
template <typename S>
concept FamilyStorage =
    !std::same_as<S, BaseStorage> && std::equality_comparable<S> && requires(const S& s, int64_t n) {
  { greatest_parts(s, n, n) } -> std::same_as<std::vector<TensorPart>>;
  { has_fixed_sizes(s) } -> std::same_as<bool>;
};

class BaseStorage {
 public:
  /// What "int4" names.
  BaseStorage();
  /// From a family's own storage, of which base_families() has the row.
  template <FamilyStorage S>
  BaseStorage(S storage) : family_(&family_with(typeid(S))), value_(std::move(storage)) {}
  /// By the first family that claims `text`. Options that it does not know are appended to `others`; null: they are an
  /// error. Error(kUsage) names the part, the allowed ones and the nearest spelling.
  static BaseStorage parse(std::string_view text, std::vector<std::string>* others = nullptr);

  const FamilyRow& family() const { return *family_; }
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

  // What the family says of it; see FamilyRow.
  std::string to_string() const { return family_->to_string(value_); }
  double nominal_bits(int64_t rows, int64_t cols) const { return family_->nominal_bits(value_, rows, cols); }
  std::vector<TensorPart> greatest_parts(int64_t rows, int64_t cols) const {
    return family_->greatest_parts(value_, rows, cols);
  }
  bool has_fixed_sizes() const { return family_->has_fixed_sizes(value_); }
  std::vector<BaseStorage> at_all_widths() const;
  std::unique_ptr<const BaseMatrix> open(const std::string& name, int64_t rows, int64_t cols,
                                         const std::vector<TensorPart>& parts) const {
    return family_->open(name, value_, rows, cols, parts);
  }

 private:
  BaseStorage(const FamilyRow& family, AnyValue value) : family_(&family), value_(std::move(value)) {}

  const FamilyRow* family_;
  AnyValue value_;
};

}  // namespace bitloom

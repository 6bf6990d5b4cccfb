#pragma once
// A value of any one type, with value semantics: copies are independent, == compares type and value. For lists of kinds
// that are open, where std::variant would name every kind in one header.

#include <any>
#include <cassert>
#include <concepts>
#include <typeinfo>
#include <utility>

namespace bitloom {

class AnyValue {
 public:
  /// Holds nothing; equal to another that holds nothing.
  AnyValue() = default;

  template <typename T>
  requires(!std::same_as<T, AnyValue> && std::copyable<T> && std::equality_comparable<T>) explicit AnyValue(T value)
      : value_(std::move(value)),
        equal_([](const std::any& a, const std::any& b) { return *std::any_cast<T>(&a) == *std::any_cast<T>(&b); }) {}

  bool operator==(const AnyValue& other) const {
    return type() == other.type() && (equal_ == nullptr || equal_(value_, other.value_));
  }

  /// Of the value; typeid(void) when there is none.
  const std::type_info& type() const { return value_.type(); }

  /// Null when the value is of another type.
  template <typename T>
  const T* get_if() const {
    return std::any_cast<T>(&value_);
  }
  template <typename T>
  T* get_if() {
    return std::any_cast<T>(&value_);
  }
  /// The caller knows that the value is a T.
  template <typename T>
  const T& get() const {
    const T* value = get_if<T>();
    assert(value != nullptr);
    return *value;
  }

 private:
  std::any value_;
  bool (*equal_)(const std::any& a, const std::any& b) = nullptr;  // of two values of the type held
};

}  // namespace bitloom

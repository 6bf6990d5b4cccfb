#pragma once
// What a template computes with: Python's values, as far as templates use them.
//
// Values are immutable, as transformers' sandbox has them; only a namespace changes, and it belongs to the rendering
// (Runtime), so values never form cycles. Nesting is bounded, and with it every walk over a value.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace bitloom::jinja {

struct Sequence;
struct Dict;
struct Namespace;
struct Callable;
using SequencePtr = std::shared_ptr<const Sequence>;
using DictPtr = std::shared_ptr<const Dict>;
using CallablePtr = std::shared_ptr<const Callable>;

/// Nothing of that name: prints as nothing, counts as false, and nothing else can be done with it.
struct Undefined {
  std::string what;  // "'dict' has no attribute 'x'"
};
struct None {};

template <typename T, typename Variant>
inline constexpr bool is_alternative = false;
template <typename T, typename... Ts>
inline constexpr bool is_alternative<T, std::variant<Ts...>> = (std::is_same_v<T, Ts> || ...);

class Value {
 public:
  using Data =
      std::variant<Undefined, None, bool, int64_t, double, std::string, SequencePtr, DictPtr, Namespace*, CallablePtr>;
  Value() = default;
  template <typename T>
  requires is_alternative<T, Data> Value(T value)
      : data_(std::in_place_type<T>, std::move(value)) {}  // NOLINT(google-explicit-constructor)

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data_);
  }
  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  /// bool or int, as an int.
  std::optional<int64_t> integer() const;
  /// Any number.
  std::optional<double> number() const;

 private:
  Data data_;
};

enum class SequenceKind { kList, kTuple, kRange, kView, kIterator };

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  int depth = 1;              // of nested values, itself included
  mutable bool used = false;  // an iterator gives its items once
};

struct Dict {
  std::vector<std::pair<std::string, Value>> items;  // in the order of insertion
  int depth = 1;
  const Value* find(std::string_view key) const;
};

/// namespace(...), or a loop's state, which templates cannot change.
struct Namespace {
  bool is_loop = false;
  std::map<std::string, Value, std::less<>> fields;
};

/// Error(kRefused) when nesting exceeds kMaxNesting.
Value make_sequence(std::vector<Value> items, SequenceKind kind = SequenceKind::kList);
Value make_dict(std::vector<std::pair<std::string, Value>> items);
int depth_of(const Value& value);
inline constexpr int kMaxNesting = 60;

/// Python's name of the type, for messages.
std::string type_name(const Value& value);
bool truth(const Value& value);
/// str(value). Error(kRefused) for what has no text worth printing: functions, ranges, iterators, namespaces.
std::string text_of(const Value& value);
/// repr(value): strings in quotes.
std::string repr_of(const Value& value);
std::string float_text(double value);

/// Python's == and <. Error(kRefused) when the two have no order.
bool equal(const Value& left, const Value& right);
bool less(const Value& left, const Value& right);
/// Python's `item in container`.
bool contains(const Value& container, const Value& item);

}  // namespace bitloom::jinja

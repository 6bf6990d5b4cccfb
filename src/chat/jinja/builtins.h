#pragma once
// Filters, tests, functions and methods: a row each, in the tables of filters.cc, tests.cc, functions.cc
// and methods.cc.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/runtime.h"
#include "chat/jinja/value.h"

namespace bitloom::jinja {

/// One application of a row.
struct Invocation {
  Runtime& runtime;
  const Builtin& row;
  const Value& subject;             // what a filter, test or method applies to
  std::vector<const Value*> bound;  // by the row's parameters; null where not given
  const Arguments& arguments;       // as given: for rows that take any

  bool given(size_t i) const { return bound[i] != nullptr; }
  const Value& value(size_t i) const { return *bound[i]; }
  /// Error(kRefused) when an argument is of another type. None counts as not given where there is another value.
  const std::string& text(size_t i) const;
  std::optional<std::string_view> optional_text(size_t i) const;
  int64_t integer(size_t i, int64_t otherwise) const;
  bool flag(size_t i) const { return given(i) && truth(value(i)); }
};

struct Builtin {
  std::string_view name;
  std::string_view parameters;  // names, those that may be left out with a '?'; "*" for any
  Value (*apply)(const Invocation&);
};

/// Rows by name; nullptr for one that bitloom lacks.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_function(std::string_view name);
/// The bound method of a text or dict. nullopt when Python has no such attribute; Error(kRefused) when bitloom has not.
std::optional<Value> find_method(const Value& object, const std::string& name);

/// Binds the arguments to the row's parameters and applies it. Error(kRefused) names what does not fit.
Value invoke(Runtime& runtime, const Builtin& row, const Value& subject, const Arguments& arguments);
Value apply_filter(Runtime& runtime, std::string_view name, const Value& subject, const Arguments& arguments);
bool apply_test(Runtime& runtime, std::string_view name, const Value& subject, const Arguments& arguments);

const Builtin* find_row(std::span<const Builtin> rows, std::string_view name);
/// The method loop.cycle.
extern const Builtin kLoopCycle;

/// json.dumps(value, ensure_ascii=False, ...): separators as Python chooses them when empty.
struct JsonStyle {
  std::optional<std::string> indent;
  std::string item_separator, key_separator;
  bool sorted = false;
};
std::string json_text(const Value& value, const JsonStyle& style);

}  // namespace bitloom::jinja

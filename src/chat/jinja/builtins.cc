#include "chat/jinja/builtins.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom::jinja {
namespace {

/// The value of the parameter at `place`; null when absent.
const Value* find_argument(const Arguments& arguments, size_t place, std::string_view name) {
  const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                  [name](const auto& argument) { return argument.first == name; });
  if (place < arguments.positional.size()) {
    if (named != arguments.named.end()) refuse("gives '{}' twice", name);
    return &arguments.positional[place];
  }
  return named == arguments.named.end() ? nullptr : &named->second;
}

std::vector<const Value*> bind(const Builtin& row, const Arguments& arguments) {
  std::vector<const Value*> bound;
  if (row.parameters == "*") return bound;
  const std::vector<std::string> names =
      row.parameters.empty() ? std::vector<std::string>{} : split(row.parameters, ' ');
  size_t used = std::min(arguments.positional.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const bool optional = names[i].back() == '?';
    const std::string name = names[i].substr(0, names[i].size() - (optional ? 1 : 0));
    bound.push_back(find_argument(arguments, i, name));
    if (bound.back() == nullptr && !optional) refuse("'{}' needs a value for '{}'", row.name, name);
    used += bound.back() != nullptr && i >= arguments.positional.size() ? 1 : 0;
  }
  if (used < arguments.positional.size() + arguments.named.size()) {
    refuse("'{}' takes other arguments: {}", row.name, row.parameters.empty() ? "none" : row.parameters);
  }
  return bound;
}

}  // namespace

const std::string& Invocation::text(size_t i) const {
  const std::string* text = value(i).as<std::string>();
  if (text == nullptr) refuse("'{}' takes a text, not a value of type {}", row.name, type_name(value(i)));
  return *text;
}

std::optional<std::string_view> Invocation::optional_text(size_t i) const {
  if (!given(i) || value(i).is<None>()) return std::nullopt;
  return text(i);
}

int64_t Invocation::integer(size_t i, int64_t otherwise) const {
  if (!given(i)) return otherwise;
  if (!value(i).integer()) refuse("'{}' takes an integer, not a value of type {}", row.name, type_name(value(i)));
  return *value(i).integer();
}

const Builtin* find_row(std::span<const Builtin> rows, std::string_view name) {
  const auto at = std::find_if(rows.begin(), rows.end(), [name](const Builtin& row) { return row.name == name; });
  return at == rows.end() ? nullptr : &*at;
}

Value invoke(Runtime& runtime, const Builtin& row, const Value& subject, const Arguments& arguments) {
  Value result = row.apply({runtime, row, subject, bind(row, arguments), arguments});
  runtime.made(result);
  return result;
}

Value apply_filter(Runtime& runtime, std::string_view name, const Value& subject, const Arguments& arguments) {
  const Builtin* row = find_filter(name);
  if (row == nullptr) refuse("filter '{}' is not supported", name);
  return invoke(runtime, *row, subject, arguments);
}

bool apply_test(Runtime& runtime, std::string_view name, const Value& subject, const Arguments& arguments) {
  const Builtin* row = find_test(name);
  if (row == nullptr) refuse("test '{}' is not supported", name);
  return truth(invoke(runtime, *row, subject, arguments));
}

}  // namespace bitloom::jinja

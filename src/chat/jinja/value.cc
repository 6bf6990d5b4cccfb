#include "chat/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "chat/jinja/runtime.h"
#include "chat/jinja/text.h"

namespace bitloom::jinja {
namespace {

int deepest(int depth, const Value& value) { return std::max(depth, depth_of(value)); }

void check_depth(int depth) {
  if (depth > kMaxNesting) refuse("nests values more than {} deep", kMaxNesting);
}

/// "[a, b]" of the texts of the items.
template <typename Items, typename Text>
std::string listed(const Items& items, std::string_view open, std::string_view close, const Text& text) {
  std::string out(open);
  for (const auto& item : items) {
    if (out.size() > open.size()) out += ", ";
    out += text(item);
    check_text_size(out.size());
  }
  return out.append(close);
}

std::string kind_name(SequenceKind kind) {
  constexpr const char* kNames[] = {"list", "tuple", "range", "dict view", "iterator"};
  return kNames[static_cast<size_t>(kind)];
}

std::string sequence_text(const Sequence& sequence) {
  if (sequence.kind == SequenceKind::kList) return listed(sequence.items, "[", "]", repr_of);
  if (sequence.kind == SequenceKind::kTuple) {
    return listed(sequence.items, "(", sequence.items.size() == 1 ? ",)" : ")", repr_of);
  }
  refuse("prints a value of type {}, whose text depends on Python", kind_name(sequence.kind));
}

bool equal_items(const std::vector<Value>& left, const std::vector<Value>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), equal);
}

bool equal_dicts(const Dict& left, const Dict& right) {
  const auto has = [&right](const std::pair<std::string, Value>& item) {
    const Value* other = right.find(item.first);
    return other != nullptr && equal(item.second, *other);
  };
  return left.items.size() == right.items.size() && std::all_of(left.items.begin(), left.items.end(), has);
}

[[noreturn]] void refuse_order(const Value& left, const Value& right) {
  refuse("compares {} with {}, which have no order", type_name(left), type_name(right));
}

}  // namespace

std::optional<int64_t> Value::integer() const {
  if (const bool* flag = as<bool>()) return *flag ? 1 : 0;
  if (const int64_t* integer = as<int64_t>()) return *integer;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const double* number = as<double>()) return *number;
  if (const auto whole = integer()) return static_cast<double>(*whole);
  return std::nullopt;
}

const Value* Dict::find(std::string_view key) const {
  const auto at = std::find_if(items.begin(), items.end(), [key](const auto& item) { return item.first == key; });
  return at == items.end() ? nullptr : &at->second;
}

int depth_of(const Value& value) {
  if (const SequencePtr* sequence = value.as<SequencePtr>()) return (*sequence)->depth;
  if (const DictPtr* dict = value.as<DictPtr>()) return (*dict)->depth;
  if (const CallablePtr* callable = value.as<CallablePtr>()) return 1 + depth_of((*callable)->receiver);
  return 0;
}

Value make_sequence(std::vector<Value> items, SequenceKind kind) {
  int depth = 0;
  for (const Value& item : items) depth = deepest(depth, item);
  check_depth(depth + 1);
  return std::make_shared<const Sequence>(Sequence{kind, std::move(items), depth + 1});
}

Value make_dict(std::vector<std::pair<std::string, Value>> items) {
  int depth = 0;
  for (const auto& [key, item] : items) depth = deepest(depth, item);
  check_depth(depth + 1);
  return std::make_shared<const Dict>(Dict{std::move(items), depth + 1});
}

std::string type_name(const Value& value) {
  if (const SequencePtr* sequence = value.as<SequencePtr>()) return kind_name((*sequence)->kind);
  if (const auto* space = value.as<Namespace*>()) return (*space)->is_loop ? "loop" : "namespace";
  if (value.is<Undefined>()) return "undefined";
  if (value.is<None>()) return "None";
  if (value.is<bool>()) return "bool";
  if (value.is<int64_t>()) return "int";
  if (value.is<double>()) return "float";
  if (value.is<std::string>()) return "str";
  return value.is<DictPtr>() ? "dict" : "function";
}

bool truth(const Value& value) {
  if (const std::string* text = value.as<std::string>()) return !text->empty();
  if (const auto number = value.number()) return *number != 0;
  if (const SequencePtr* sequence = value.as<SequencePtr>()) {
    return (*sequence)->kind == SequenceKind::kIterator || !(*sequence)->items.empty();
  }
  if (const DictPtr* dict = value.as<DictPtr>()) return !(*dict)->items.empty();
  return !value.is<Undefined>() && !value.is<None>();
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string text_of(const Value& value) {
  const std::string* text = value.as<std::string>();
  return text != nullptr ? *text : value.is<Undefined>() ? "" : repr_of(value);
}

std::string repr_of(const Value& value) {
  if (const std::string* text = value.as<std::string>()) return python_quoted(*text);
  if (value.is<Undefined>()) return "Undefined";
  if (value.is<None>()) return "None";
  if (const bool* flag = value.as<bool>()) return *flag ? "True" : "False";
  if (const int64_t* integer = value.as<int64_t>()) return std::to_string(*integer);
  if (const double* number = value.as<double>()) return float_text(*number);
  if (const SequencePtr* sequence = value.as<SequencePtr>()) return sequence_text(**sequence);
  if (const DictPtr* dict = value.as<DictPtr>()) {
    const auto pair = [](const auto& item) { return python_quoted(item.first) + ": " + repr_of(item.second); };
    return listed((*dict)->items, "{", "}", pair);
  }
  refuse("prints a value of type {}, whose text depends on Python", type_name(value));
}

bool equal(const Value& left, const Value& right) {
  // Integers of 64 bits are exact in long double.
  const auto wide = [](const Value& v) -> long double {
    return v.integer() ? static_cast<long double>(*v.integer()) : static_cast<long double>(*v.number());
  };
  if (left.number() && right.number()) return wide(left) == wide(right);
  if (left.is<std::string>() && right.is<std::string>()) return *left.as<std::string>() == *right.as<std::string>();
  if (left.is<None>() || left.is<Undefined>()) return left.is<None>() ? right.is<None>() : right.is<Undefined>();
  if (left.is<DictPtr>() && right.is<DictPtr>()) return equal_dicts(**left.as<DictPtr>(), **right.as<DictPtr>());
  if (left.is<Namespace*>() && right.is<Namespace*>()) return *left.as<Namespace*>() == *right.as<Namespace*>();
  if (!left.is<SequencePtr>() || !right.is<SequencePtr>()) return false;
  const Sequence &one = **left.as<SequencePtr>(), &two = **right.as<SequencePtr>();
  return &one == &two || (one.kind == two.kind && one.kind != SequenceKind::kIterator &&
                          one.kind != SequenceKind::kView && equal_items(one.items, two.items));
}

bool less(const Value& left, const Value& right) {
  if (left.number() && right.number()) {
    const auto one = left.integer(), two = right.integer();
    return one && two ? *one < *two : *left.number() < *right.number();
  }
  if (left.is<std::string>() && right.is<std::string>()) return *left.as<std::string>() < *right.as<std::string>();
  if (!left.is<SequencePtr>() || !right.is<SequencePtr>()) refuse_order(left, right);
  const Sequence &one = **left.as<SequencePtr>(), &two = **right.as<SequencePtr>();
  const bool ordered = one.kind == SequenceKind::kList || one.kind == SequenceKind::kTuple;
  if (!ordered || one.kind != two.kind) refuse_order(left, right);
  const auto [at, other] = std::mismatch(one.items.begin(), one.items.end(), two.items.begin(), two.items.end(), equal);
  if (at == one.items.end() || other == two.items.end()) return one.items.size() < two.items.size();
  return less(*at, *other);
}

bool contains(const Value& container, const Value& item) {
  if (container.is<Undefined>()) return false;
  if (const std::string* text = container.as<std::string>()) {
    const std::string* part = item.as<std::string>();
    if (part == nullptr) refuse("looks for a value of type {} in a text", type_name(item));
    return text->find(*part) != std::string::npos;
  }
  if (const DictPtr* dict = container.as<DictPtr>()) {
    const std::string* key = item.as<std::string>();
    return key != nullptr && (*dict)->find(*key) != nullptr;
  }
  const SequencePtr* sequence = container.as<SequencePtr>();
  if (sequence == nullptr) refuse("looks for a value in one of type {}", type_name(container));
  const std::vector<Value>& items = (*sequence)->items;
  return std::any_of(items.begin(), items.end(), [&item](const Value& other) { return equal(item, other); });
}

}  // namespace bitloom::jinja

#pragma once
// Operators of expressions, a row each.

#include <cstdint>
#include <string_view>

#include "chat/jinja/ast.h"
#include "chat/jinja/value.h"

namespace bitloom::jinja {

struct BinaryOperator {
  std::string_view symbol;
  int level;  // binds tighter the higher it is; equal ones from the left
  Value (*apply)(const Value& left, const Value& right);
};
/// nullptr for any other text.
const BinaryOperator* find_binary(std::string_view symbol);
inline constexpr int kBinaryLevels = 4;

struct ComparisonOperator {
  std::string_view symbol;
  bool (*apply)(const Value& left, const Value& right);
};
const ComparisonOperator* find_comparison(std::string_view symbol);  // "in" and "not in" among them

/// not, -, +. Error(kRefused) for what has no sign.
Value apply_unary(UnaryKind kind, const Value& operand);

/// object[index] as Jinja has it: an item, else an attribute of that name, else undefined. object.name likewise, the
/// attribute first. Error(kRefused) for an attribute that Python has and bitloom lacks, and for one of an undefined.
Value subscript(const Value& object, const Value& index);
Value attribute(const Value& object, const std::string& name);
/// object[first:last:step]; None for an absent bound.
Value slice(const Value& object, const Value& first, const Value& last, const Value& step);

}  // namespace bitloom::jinja

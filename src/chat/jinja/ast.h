#pragma once
// A parsed template.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "chat/jinja/value.h"

namespace bitloom::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct BinaryOperator;  // rows of tables, operators.h
struct ComparisonOperator;

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct Items {  // [a, b] or (a, b)
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
};
struct Pairs {  // {a: b}
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Subscript {
  ExpressionPtr object, index;
};
struct Slice {  // bounds may be null
  ExpressionPtr object, first, last, step;
};
enum class UnaryKind { kNot, kMinus, kPlus };
struct Unary {
  UnaryKind kind;
  ExpressionPtr operand;
};
struct Binary {
  const BinaryOperator* kind;
  ExpressionPtr left, right;
};
struct Logical {  // and, or
  bool is_and;
  ExpressionPtr left, right;
};
struct Comparison {  // a < b <= c
  ExpressionPtr first;
  std::vector<std::pair<const ComparisonOperator*, ExpressionPtr>> rest;
};
struct Conditional {
  ExpressionPtr test, yes, no;  // `no` may be null
};
struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  bool spread = false;  // has "*list" or "**dict", refused when it is reached
};
struct Filter {
  ExpressionPtr subject;  // null where a block is filtered
  std::string name;
  CallArguments arguments;
};
struct Test {
  ExpressionPtr subject;
  std::string name;
  CallArguments arguments;
  bool negated = false;
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};

struct Expression {
  using Node = std::variant<Literal, Name, Items, Pairs, Attribute, Subscript, Slice, Unary, Binary, Logical,
                            Comparison, Conditional, Filter, Test, Call>;
  int line = 1;
  int depth = 1;  // of nested expressions, itself included
  Node node;
};

struct Statement;
using Block = std::vector<Statement>;

/// What a value is assigned to: one name, several, or a field of a namespace.
struct Target {
  std::vector<std::string> names;  // one unless is_tuple
  bool is_tuple = false;
  std::string field;  // of names[0]; else empty
};

struct Text {
  std::string text;
};
struct Output {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Block>> branches;
  Block otherwise;
};
struct For {
  Target target;
  ExpressionPtr items, condition;  // `condition` may be null
  Block body, otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  std::vector<ExpressionPtr> filters;  // Filter nodes without a subject, first to last
  Block body;
};
struct MacroParameter {
  std::string name;
  ExpressionPtr otherwise;  // may be null
};
struct Macro {
  std::string name;
  std::vector<MacroParameter> parameters;
  Block body;
};
struct CallBlock {
  std::unique_ptr<Macro> caller;
  ExpressionPtr call;  // a Call
};
struct Generation {  // marks what a model is trained on
  Block body;
};
struct Break {};
struct Continue {};

struct Statement {
  using Node = std::variant<Text, Output, If, For, Set, SetBlock, Macro, CallBlock, Generation, Break, Continue>;
  int line = 1;
  Node node;
};

}  // namespace bitloom::jinja

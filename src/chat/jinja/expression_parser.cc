#include "chat/jinja/expression_parser.h"

#include <algorithm>

#include "chat/jinja/operators.h"
#include "chat/jinja/parser.h"

namespace bitloom::jinja {
namespace {

int deepest() { return 0; }
template <typename... Others>
int deepest(const ExpressionPtr& one, const Others&... others);
template <typename... Others>
int deepest(const CallArguments& one, const Others&... others) {
  int depth = deepest(others...);
  for (const ExpressionPtr& value : one.positional) depth = std::max(depth, deepest(value));
  for (const auto& [name, value] : one.named) depth = std::max(depth, deepest(value));
  return depth;
}
template <typename... Others>
int deepest(const ExpressionPtr& one, const Others&... others) {
  return std::max(one ? one->depth : 0, deepest(others...));
}

struct Constant {
  std::string_view name;
  Value value;
};
const std::vector<Constant>& constants() {
  static const std::vector<Constant> kConstants = {{"true", true},   {"True", true},   {"false", false},
                                                   {"False", false}, {"none", None{}}, {"None", None{}}};
  return kConstants;
}

}  // namespace

ExpressionPtr ExpressionParser::make(int line, int depth_below, Expression::Node node) const {
  if (depth_below >= kMaxExpressionDepth) tokens_.reject("nests expressions more than {} deep", kMaxExpressionDepth);
  return std::make_unique<Expression>(Expression{line, depth_below + 1, std::move(node)});
}

ExpressionPtr ExpressionParser::parse() {
  if (++nesting_ > kMaxExpressionDepth) tokens_.reject("nests expressions more than {} deep", kMaxExpressionDepth);
  int line = tokens_.line();
  ExpressionPtr value = parse_unconditional();
  while (tokens_.skip_name("if")) {
    ExpressionPtr test = parse_unconditional();
    ExpressionPtr otherwise = tokens_.skip_name("else") ? parse() : nullptr;
    const int below = deepest(test, value, otherwise);
    value = make(line, below, Conditional{std::move(test), std::move(value), std::move(otherwise)});
    line = tokens_.line();
  }
  --nesting_;
  return value;
}

ExpressionPtr ExpressionParser::parse_unconditional() { return parse_logical(false); }

ExpressionPtr ExpressionParser::parse_logical(bool is_and) {
  const auto operand = [&] { return is_and ? parse_not() : parse_logical(true); };
  int line = tokens_.line();
  ExpressionPtr left = operand();
  while (tokens_.skip_name(is_and ? "and" : "or")) {
    ExpressionPtr right = operand();
    const int below = deepest(left, right);
    left = make(line, below, Logical{is_and, std::move(left), std::move(right)});
    line = tokens_.line();
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  const int line = tokens_.line();
  int count = 0;
  while (tokens_.skip_name("not")) ++count;
  ExpressionPtr value = parse_comparison();
  for (; count > 0; --count) {
    const int below = deepest(value);
    value = make(line, below, Unary{UnaryKind::kNot, std::move(value)});
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_comparison() {
  const int line = tokens_.line();
  Comparison node{parse_binary(0), {}};
  int below = deepest(node.first);
  for (;;) {
    const bool negated = tokens_.at_name("not") && tokens_.at_name("in", 1);
    const bool word = negated || tokens_.at_name("in");
    if (!word && !tokens_.at(TokenKind::kOperator)) break;
    const ComparisonOperator* kind = find_comparison(negated ? "not in" : tokens_.peek().text);
    if (kind == nullptr) break;
    tokens_.take();
    if (negated) tokens_.take();
    node.rest.emplace_back(kind, parse_binary(0));
    below = std::max(below, deepest(node.rest.back().second));
  }
  return node.rest.empty() ? std::move(node.first) : make(line, below, std::move(node));
}

ExpressionPtr ExpressionParser::parse_binary(int level) {
  if (level == kBinaryLevels) return parse_signed(true);
  int line = tokens_.line();
  ExpressionPtr left = parse_binary(level + 1);
  while (tokens_.at(TokenKind::kOperator)) {
    const BinaryOperator* kind = find_binary(tokens_.peek().text);
    if (kind == nullptr || kind->level != level) break;
    tokens_.take();
    ExpressionPtr right = parse_binary(level + 1);
    const int below = deepest(left, right);
    left = make(line, below, Binary{kind, std::move(left), std::move(right)});
    line = tokens_.line();
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_signed(bool with_filters) {
  if (++nesting_ > kMaxExpressionDepth) tokens_.reject("nests expressions more than {} deep", kMaxExpressionDepth);
  const int line = tokens_.line();
  ExpressionPtr value;
  const bool minus = tokens_.at_operator("-");
  if (minus || tokens_.at_operator("+")) {
    tokens_.take();
    ExpressionPtr operand = parse_signed(false);
    const int below = deepest(operand);
    value = make(line, below, Unary{minus ? UnaryKind::kMinus : UnaryKind::kPlus, std::move(operand)});
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  --nesting_;
  return with_filters ? parse_filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr node) {
  for (;;) {
    if (tokens_.at_operator(".")) {
      node = parse_member(std::move(node));
    } else if (tokens_.at_operator("[")) {
      node = parse_brackets(std::move(node));
    } else if (tokens_.at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr node) {
  for (;;) {
    if (tokens_.skip_operator("|")) {
      node = parse_filter(std::move(node));
    } else if (tokens_.skip_name("is")) {
      node = parse_test(std::move(node));
    } else if (tokens_.at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filter(ExpressionPtr subject) {
  const int line = tokens_.line();
  std::string name = tokens_.expect_name();
  CallArguments arguments = tokens_.at_operator("(") ? parse_arguments() : CallArguments{};
  const int below = deepest(subject, arguments);
  return make(line, below, Filter{std::move(subject), std::move(name), std::move(arguments)});
}

/// "is [not] name", with arguments in parentheses or one bare argument.
ExpressionPtr ExpressionParser::parse_test(ExpressionPtr subject) {
  const int line = tokens_.line();
  const bool negated = tokens_.skip_name("not");
  std::string name = tokens_.expect_name();
  CallArguments arguments;
  const bool word =
      tokens_.at(TokenKind::kName) && !tokens_.at_name("else") && !tokens_.at_name("or") && !tokens_.at_name("and");
  if (tokens_.at_name("is")) tokens_.reject("'is' cannot follow another test");
  const bool literal = tokens_.at(TokenKind::kString) || tokens_.at(TokenKind::kInteger) ||
                       tokens_.at(TokenKind::kFloat) || tokens_.at_operator("[") || tokens_.at_operator("{");
  if (tokens_.at_operator("(")) {
    arguments = parse_arguments();
  } else if (word || literal) {
    arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  const int below = deepest(subject, arguments);
  return make(line, below, Test{std::move(subject), std::move(name), std::move(arguments), negated});
}

ExpressionPtr ExpressionParser::parse_call(ExpressionPtr callee) {
  const int line = tokens_.line();
  CallArguments arguments = parse_arguments();
  const int below = deepest(callee, arguments);
  return make(line, below, Call{std::move(callee), std::move(arguments)});
}

CallArguments ExpressionParser::parse_arguments() {
  tokens_.expect_operator("(");
  CallArguments arguments;
  while (!tokens_.at_operator(")")) {
    if (tokens_.skip_operator("*") || tokens_.skip_operator("**")) {
      arguments.spread = true;
      arguments.positional.push_back(parse());
    } else if (tokens_.at(TokenKind::kName) && tokens_.at_operator("=", 1)) {
      std::string name = tokens_.take().text;
      tokens_.take();
      arguments.named.emplace_back(std::move(name), parse());
    } else if (!arguments.named.empty()) {
      tokens_.reject("an argument without a name follows one with a name");
    } else {
      arguments.positional.push_back(parse());
    }
    if (!tokens_.at_operator(")")) tokens_.expect_operator(",");
  }
  tokens_.expect_operator(")");
  return arguments;
}

ExpressionPtr ExpressionParser::parse_member(ExpressionPtr object) {
  const int line = tokens_.line();
  tokens_.expect_operator(".");
  const int below = deepest(object);
  if (tokens_.at(TokenKind::kInteger)) {
    ExpressionPtr index = make(line, 0, Literal{Value(tokens_.take().integer)});
    return make(line, std::max(below, 1), Subscript{std::move(object), std::move(index)});
  }
  return make(line, below, Attribute{std::move(object), tokens_.expect_name()});
}

ExpressionPtr ExpressionParser::parse_brackets(ExpressionPtr object) {
  const int line = tokens_.line();
  tokens_.expect_operator("[");
  std::vector<ExpressionPtr> bounds(3);
  size_t count = 0;
  bool sliced = false;
  for (;;) {
    if (!tokens_.at_operator(":") && !tokens_.at_operator("]")) bounds[count] = parse();
    if (count == 2 || !tokens_.skip_operator(":")) break;
    sliced = true;
    ++count;
  }
  if (tokens_.at_operator(",")) tokens_.reject("an index of several values is not supported");
  tokens_.expect_operator("]");
  const int below = deepest(object, bounds[0], bounds[1], bounds[2]);
  if (sliced) {
    return make(line, below,
                Slice{std::move(object), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2])});
  }
  if (!bounds[0]) tokens_.reject("an index is missing");
  return make(line, below, Subscript{std::move(object), std::move(bounds[0])});
}

ExpressionPtr ExpressionParser::parse_primary() {
  const int line = tokens_.line();
  switch (tokens_.peek().kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString:
      return parse_string();
    case TokenKind::kInteger:
      return make(line, 0, Literal{Value(tokens_.take().integer)});
    case TokenKind::kFloat:
      return make(line, 0, Literal{Value(tokens_.take().number)});
    default:
      break;
  }
  if (tokens_.at_operator("(")) return parse_parentheses();
  if (tokens_.at_operator("[")) return parse_list();
  if (tokens_.at_operator("{")) return parse_dict();
  tokens_.reject("expected a value, found {}", tokens_.found());
}

ExpressionPtr ExpressionParser::parse_name() {
  const Token token = tokens_.take();
  for (const Constant& constant : constants()) {
    if (token.text == constant.name) return make(token.line, 0, Literal{constant.value});
  }
  return make(token.line, 0, Name{token.text});
}

/// Adjacent strings are one.
ExpressionPtr ExpressionParser::parse_string() {
  Token token = tokens_.take();
  while (tokens_.at(TokenKind::kString)) token.text += tokens_.take().text;
  return make(token.line, 0, Literal{Value(std::move(token.text))});
}

ExpressionPtr ExpressionParser::parse_list() {
  const int line = tokens_.line();
  tokens_.expect_operator("[");
  Items node;
  int below = 0;
  while (!tokens_.at_operator("]")) {
    node.items.push_back(parse());
    below = std::max(below, deepest(node.items.back()));
    if (!tokens_.at_operator("]")) tokens_.expect_operator(",");
  }
  tokens_.expect_operator("]");
  return make(line, below, std::move(node));
}

ExpressionPtr ExpressionParser::parse_dict() {
  const int line = tokens_.line();
  tokens_.expect_operator("{");
  Pairs node;
  int below = 0;
  while (!tokens_.at_operator("}")) {
    ExpressionPtr key = parse();
    tokens_.expect_operator(":");
    ExpressionPtr value = parse();
    below = std::max(below, deepest(key, value));
    node.items.emplace_back(std::move(key), std::move(value));
    if (!tokens_.at_operator("}")) tokens_.expect_operator(",");
  }
  tokens_.expect_operator("}");
  return make(line, below, std::move(node));
}

/// "(a)", or a tuple: "()", "(a,)", "(a, b)".
ExpressionPtr ExpressionParser::parse_parentheses() {
  const int line = tokens_.line();
  tokens_.expect_operator("(");
  ExpressionPtr value = tokens_.at_operator(")") ? make(line, 0, Items{{}, true}) : parse_tuple();
  tokens_.expect_operator(")");
  return value;
}

bool ExpressionParser::tuple_ends() const {
  return tokens_.at(TokenKind::kVariableEnd) || tokens_.at(TokenKind::kBlockEnd) || tokens_.at_operator(")") ||
         tokens_.at_name("recursive");
}

ExpressionPtr ExpressionParser::parse_tuple(bool conditional) {
  const int line = tokens_.line();
  const auto item = [&] { return conditional ? parse() : parse_unconditional(); };
  ExpressionPtr first = item();
  if (!tokens_.at_operator(",")) return first;
  Items node{{}, true};
  int below = deepest(first);
  node.items.push_back(std::move(first));
  while (tokens_.skip_operator(",") && !tuple_ends()) {
    node.items.push_back(item());
    below = std::max(below, deepest(node.items.back()));
  }
  return make(line, below, std::move(node));
}

}  // namespace bitloom::jinja

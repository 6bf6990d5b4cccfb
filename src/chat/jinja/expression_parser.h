#pragma once
// Expressions, by falling precedence: conditional, or, and, not, comparison, + -, ~, * / // %, **, sign, postfix and
// filters.

#include "chat/jinja/ast.h"
#include "chat/jinja/token_stream.h"

namespace bitloom::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  ExpressionPtr parse();
  /// Without "a if b else c": where an 'if' means something else.
  ExpressionPtr parse_unconditional();
  /// One expression, or a tuple of those that commas separate.
  ExpressionPtr parse_tuple(bool conditional = true);
  /// "name" or "name(arguments)" after a '|'.
  ExpressionPtr parse_filter(ExpressionPtr subject);

 private:
  CallArguments parse_arguments();
  ExpressionPtr make(int line, int depth_below, Expression::Node node) const;
  ExpressionPtr parse_logical(bool is_and);
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_binary(int level);
  ExpressionPtr parse_signed(bool with_filters);
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters(ExpressionPtr node);
  ExpressionPtr parse_test(ExpressionPtr subject);
  ExpressionPtr parse_call(ExpressionPtr callee);
  ExpressionPtr parse_member(ExpressionPtr object);
  ExpressionPtr parse_brackets(ExpressionPtr object);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_name();
  ExpressionPtr parse_string();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_parentheses();
  bool tuple_ends() const;

  TokenStream& tokens_;
  int nesting_ = 0;
};

}  // namespace bitloom::jinja

#pragma once
// A template's text to its tree. The grammar is Jinja's.

#include <string>
#include <string_view>

#include "chat/jinja/ast.h"

namespace bitloom::jinja {

/// Error(kRefused) "ORIGIN: line N: ..." for what is no template, and for statements outside the subset. Filters, tests
/// and functions outside it are refused when they are reached: templates guard some by conditions.
Block parse_template(std::string_view source, const std::string& origin);

/// The longest template, in bytes, and the deepest nesting of expressions and of blocks.
inline constexpr size_t kMaxTemplate = size_t{1} << 20;
inline constexpr int kMaxExpressionDepth = 120;
inline constexpr int kMaxBlockDepth = 40;

}  // namespace bitloom::jinja

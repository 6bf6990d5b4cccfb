#pragma once
#include <string>
#include <string_view>

namespace bitloom::jinja {

/// The value of a string literal whose text between the quotes is `body`: Python's escapes; an unknown one stays as it
/// is. Error(kRefused) "..." for a broken one.
std::string unescaped(std::string_view body);

}  // namespace bitloom::jinja

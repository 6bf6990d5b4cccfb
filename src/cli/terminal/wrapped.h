#pragma once
// Text for terminals, line by line.

#include <cstddef>
#include <string>

namespace bitloom {

/// Breaks between words so that no line is longer than `columns` (a longer word has a line of its own); lines after the
/// first start with `indent` blanks, which come on top.
std::string wrapped(const std::string& text, size_t columns, size_t indent);

}  // namespace bitloom

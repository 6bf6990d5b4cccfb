#pragma once
// A parsed template to text.

#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/ast.h"
#include "chat/jinja/runtime.h"

namespace bitloom::jinja {

/// The template's text with these variables. Error(kRefused) "ORIGIN: line N: ..." for what goes wrong; Raised where
/// the template itself refuses.
std::string render_template(const Block& program, const std::string& origin,
                            const std::vector<std::pair<std::string, Value>>& variables, const std::tm& time);

}  // namespace bitloom::jinja

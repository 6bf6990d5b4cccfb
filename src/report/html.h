#pragma once
// Foreign text on a page: names, prompts and model outputs are hostile.

#include <string>
#include <string_view>

namespace bitloom {

/// Text that may stand between tags and in double-quoted attributes of HTML and SVG. What HTML forbids (control and
/// non-characters), what is no UTF-8 and what would reorder its surroundings (bidirectional overrides and isolates)
/// becomes U+FFFD.
std::string escape_html(std::string_view text);

/// A token with its blanks and control characters made visible: " the\n" is "␣the↵". A byte that is no UTF-8 reads
/// "\xE2". Not yet escaped.
std::string visible_token(std::string_view text);

/// JSON that may stand in a <script> element: "<" is written "\u003c".
std::string embed_json(std::string_view json);

}  // namespace bitloom

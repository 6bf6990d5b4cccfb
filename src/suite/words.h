#pragma once
// Command lines with placeholders.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

/// Words of a command line: separated by blanks and line ends; "double" or 'single' quotes keep blanks. Error(kUsage)
/// for a quote that is not closed.
std::vector<std::string> split_words(const std::string& line);

/// `text` with every {NAME} (letters, digits, '_', '-', '.') replaced by what `value` says. Braces around anything else
/// stay as they are. Error(kUsage) with the nearest of `known` for a name that `value` knows nothing of.
std::string fill(const std::string& text, const std::function<std::optional<std::string>(const std::string&)>& value,
                 const std::vector<std::string>& known);

/// The names between braces, in their order.
std::vector<std::string> placeholders(const std::string& text);

}  // namespace bitloom

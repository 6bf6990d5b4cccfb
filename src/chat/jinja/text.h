#pragma once
// Python's string operations on UTF-8: positions are code points, white space and letter case are Unicode's.
// Every text here is well-formed UTF-8.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom::jinja {

/// str.isspace() of one character.
bool is_space(char32_t c);

/// The characters as views into `text`.
std::vector<std::string_view> split_characters(std::string_view text);

enum class Side { kLeft, kRight, kBoth };
/// str.strip, lstrip, rstrip: white space, or any of the characters of `chars`.
std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> chars = {});

/// str.split and rsplit with at most `limit` cuts (negative: any); an absent separator is runs of white space.
std::vector<std::string> split_text(std::string_view text, std::optional<std::string_view> separator, int64_t limit);

/// str.replace; the first `limit` occurrences (negative: all). Error(kRefused) when the result exceeds kMaxText.
std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t limit);

/// str.upper, lower, title, capitalize.
std::string upper_case(std::string_view text);
std::string lower_case(std::string_view text);
std::string title_case(std::string_view text);
std::string capitalized(std::string_view text);

/// repr() of a str.
std::string python_quoted(std::string_view text);

/// The longest text that an expression may make, in bytes.
inline constexpr size_t kMaxText = size_t{16} << 20;
/// Error(kRefused) when `bytes` exceed it.
void check_text_size(size_t bytes);

}  // namespace bitloom::jinja

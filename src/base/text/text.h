#pragma once
// Small text helpers shared by parsers and messages.

#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bitloom {

/// The candidate closest to `word` by edit distance, or "" when none is near (more than a third of it wrong).
std::string nearest_spelling(std::string_view word, std::span<const std::string> candidates);

/// " (did you mean 'x'?)" or "", to end a message about an unknown word.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// Shell-style match of a whole name: '*' any run of characters, '?' one character.
bool glob_match(std::string_view pattern, std::string_view text);

/// "1.5 MiB", "135 B".
std::string human_bytes(int64_t bytes);

/// "5G", "300M", "1.5G", "4096" to bytes (powers of 1024). Error(kUsage) naming `flag` otherwise.
int64_t parse_bytes(std::string_view text, std::string_view flag);

/// The whole text as a finite number ("12", "-0.5", "1e-3"); nullopt for anything else.
template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Code points of well-formed UTF-8: bytes that continue none.
int64_t count_characters(std::string_view text);
/// The shortest decimal that reads back, without an exponent.
std::string fixed_text(double value);

std::vector<std::string> split(std::string_view text, char separator);

/// Offset of the first byte that is not well-formed UTF-8 (RFC 3629: no overlong forms, surrogates or > U+10FFFF),
/// or text.size().
size_t first_invalid_utf8(std::string_view text);

}  // namespace bitloom

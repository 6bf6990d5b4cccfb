#include "io/text_data.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "io/json.h"

namespace bitloom {
namespace {

constexpr std::string_view kJsonlPrefix = "jsonl:";
constexpr std::string_view kWhitespace = " \t\r\n\f\v";

bool is_blank(std::string_view line) { return line.find_first_not_of(kWhitespace) == std::string_view::npos; }

/// Lines with their newlines; the last may have none.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const size_t length = newline == std::string_view::npos ? text.size() : newline + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

void check_utf8(std::string_view text, const std::string& path) {
  const size_t bad = first_invalid_utf8(text);
  if (bad == text.size()) return;
  const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n') + 1;
  refuse("{}: line {}: invalid UTF-8 (byte 0x{:02x} at offset {})", path, line, static_cast<uint8_t>(text[bad]), bad);
}

/// "\n\n".join(rows) as the wikitext dataset makes rows: a line of white space is the row "", any other keeps its
/// newline.
std::string join_rows(std::string_view text) {
  std::string joined;
  bool first = true;
  for (const std::string_view line : lines_of(text)) {
    if (!std::exchange(first, false)) joined += "\n\n";
    if (!is_blank(line)) joined += line;
  }
  return joined;
}

std::string join_jsonl(std::string_view text, const std::string& field, const std::string& path) {
  std::string joined;
  bool first = true;
  size_t number = 0;
  for (const std::string_view line : lines_of(text)) {
    const std::string origin = fmt::format("{}: line {}", path, ++number);
    if (is_blank(line)) continue;
    const Json object = parse_json(line, origin);
    if (!object.is_object()) refuse("{}: {}, expected a JSON object", origin, object.type_name());
    const auto found = object.find(field);
    if (found == object.end()) refuse("{}: no field \"{}\"", origin, field);
    if (!found->is_string()) refuse("{}: field \"{}\" is {}, expected a string", origin, field, found->type_name());
    if (!std::exchange(first, false)) joined += "\n\n";
    joined += found->get_ref<const std::string&>();
  }
  return joined;
}

}  // namespace

TextFormat parse_text_format(const std::string& text) {
  if (text == "plain") return {TextFormat::Kind::kPlain, ""};
  if (text == "hf-rows") return {TextFormat::Kind::kHfRows, ""};
  if (text.starts_with(kJsonlPrefix) && text.size() > kJsonlPrefix.size()) {
    return {TextFormat::Kind::kJsonl, text.substr(kJsonlPrefix.size())};
  }
  misuse("unknown text format '{}', allowed: plain, hf-rows, jsonl:FIELD", text);
}

std::string to_string(const TextFormat& format) {
  switch (format.kind) {
    case TextFormat::Kind::kPlain:
      return "plain";
    case TextFormat::Kind::kHfRows:
      return "hf-rows";
    case TextFormat::Kind::kJsonl:
      break;
  }
  return std::string(kJsonlPrefix) + format.field;
}

std::string read_text_data(const std::string& path, const TextFormat& format) {
  std::string text = read_text(path);
  check_utf8(text, path);
  if (format.kind == TextFormat::Kind::kHfRows) text = join_rows(text);
  if (format.kind == TextFormat::Kind::kJsonl) text = join_jsonl(text, format.field, path);
  if (text.empty()) refuse("{}: no text in it (read as {})", path, to_string(format));
  return text;
}

}  // namespace bitloom

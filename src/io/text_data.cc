#include "io/text_data.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"
#include "io/json.h"
#include "io/xz.h"

namespace bitloom {
namespace {

constexpr std::string_view kJsonlPrefix = "jsonl:";
constexpr std::string_view kSeparator = "<|endoftext|>";
constexpr std::string_view kWhitespace = " \t\r\n\f\v";

/// "\n\n".join(rows) as the wikitext dataset makes rows: a line of white space is the row "", any other keeps its
/// newline.
std::string join_rows(std::string_view text) {
  std::string joined;
  bool first = true;
  for (const std::string_view line : split_lines(text)) {
    if (!std::exchange(first, false)) joined += "\n\n";
    if (!is_blank(line)) joined += line;
  }
  return joined;
}

/// The strings of `field`, one an object.
std::vector<std::string> jsonl_strings(std::string_view text, const std::string& field, const std::string& path) {
  std::vector<std::string> strings;
  size_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    const std::string origin = fmt::format("{}: line {}", path, ++number);
    if (is_blank(line)) continue;
    Json object = parse_json(line, origin);
    if (!object.is_object()) refuse("{}: {}, expected a JSON object", origin, object.type_name());
    const auto found = object.find(field);
    if (found == object.end()) refuse("{}: no field \"{}\"", origin, field);
    if (!found->is_string()) refuse("{}: field \"{}\" is {}, expected a string", origin, field, found->type_name());
    strings.push_back(std::move(found->get_ref<std::string&>()));
  }
  return strings;
}

std::string_view without_newline(std::string_view text) {
  if (!text.ends_with('\n')) return text;
  text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

std::vector<std::string> split_at_separators(std::string_view text) {
  std::vector<std::string> documents;
  const auto add = [&](std::string_view document) {
    if (!is_blank(document)) documents.emplace_back(without_newline(document));
  };
  size_t begin = 0, at = 0;
  for (const std::string_view line : split_lines(text)) {
    at += line.size();
    if (without_newline(line) != kSeparator) continue;
    add(text.substr(begin, at - line.size() - begin));
    begin = at;
  }
  if (begin == 0) return {std::string(text)};
  add(text.substr(begin));
  return documents;
}

/// Refuses JSON lines that are taken for plain text: keys and quotes would count as words. Told by the first lines, all
/// of which are objects.
void refuse_json_lines(std::string_view text, const std::string& origin) {
  constexpr size_t kTold = 4;
  std::string fields;
  size_t objects = 0;
  for (const std::string_view line : split_lines(text.substr(0, size_t{1} << 20))) {
    if (is_blank(line)) continue;
    if (objects == kTold) break;
    const Json value = line.starts_with('{') ? Json::parse(line, nullptr, false) : Json();
    if (!value.is_object()) return;
    ++objects;
    if (objects > 1) continue;
    for (const auto& [key, member] : value.items()) {
      if (member.is_string()) fields += (fields.empty() ? "" : ", ") + key;
    }
  }
  if (objects == 0 || fields.empty()) return;
  refuse(
      "{}: line 1 is a JSON object, but the file is read as plain text; give the format jsonl:FIELD (fields with "
      "texts: {})",
      origin, fields);
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
  if (format.kind == TextFormat::Kind::kPlain) refuse_json_lines(text, path);
  if (format.kind == TextFormat::Kind::kHfRows) text = join_rows(text);
  if (format.kind == TextFormat::Kind::kJsonl)
    text = fmt::format("{}", fmt::join(jsonl_strings(text, format.field, path), "\n\n"));
  if (text.empty()) refuse("{}: no text in it (read as {})", path, to_string(format));
  return text;
}

std::string read_text_or_xz(const std::string& path) {
  std::string bytes = read_text(path);
  return path.ends_with(".xz") ? unpack_xz(bytes, path) : bytes;
}

std::vector<std::string> split_documents(std::string_view text, const TextFormat& format, const std::string& origin) {
  check_utf8(text, origin);
  std::vector<std::string> documents;
  switch (format.kind) {
    case TextFormat::Kind::kPlain:
      refuse_json_lines(text, origin);
      documents = split_at_separators(text);
      break;
    case TextFormat::Kind::kHfRows:
      documents.push_back(join_rows(text));
      break;
    case TextFormat::Kind::kJsonl:
      documents = jsonl_strings(text, format.field, origin);
      break;
  }
  const bool all_empty = std::all_of(documents.begin(), documents.end(), [](const auto& d) { return d.empty(); });
  if (all_empty) refuse("{}: no text in it (read as {})", origin, to_string(format));
  return documents;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const size_t length = newline == std::string_view::npos ? text.size() : newline + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

bool is_blank(std::string_view line) { return line.find_first_not_of(kWhitespace) == std::string_view::npos; }

void check_utf8(std::string_view text, const std::string& path) {
  const size_t bad = first_invalid_utf8(text);
  if (bad == text.size()) return;
  const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n') + 1;
  refuse("{}: line {}: invalid UTF-8 (byte 0x{:02x} at offset {})", path, line, static_cast<uint8_t>(text[bad]), bad);
}

}  // namespace bitloom

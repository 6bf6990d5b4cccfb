#pragma once
// Evaluation and calibration texts.

#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

/// How a file becomes one text.
///   plain         the bytes as they are
///   hf-rows       each line is a dataset row with its newline, a blank line an empty row; rows joined by "\n\n", as
///   the
///                 papers join the rows of wikitext-2-raw
///   jsonl:FIELD   each line a JSON object (blank lines are skipped); the strings of FIELD joined by "\n\n"
struct TextFormat {
  enum class Kind { kPlain, kHfRows, kJsonl } kind = Kind::kPlain;
  std::string field;
};

/// Error(kUsage) naming the allowed spellings.
TextFormat parse_text_format(const std::string& text);
std::string to_string(const TextFormat& format);

/// The whole text. Error(kRefused) naming file, line and what is wrong (invalid UTF-8, a line that is no JSON object, a
/// missing field, an empty text).
std::string read_text_data(const std::string& path, const TextFormat& format);

/// The bytes of a text file; a file named *.xz is unpacked (io/xz.h). Error(kRefused) naming the path.
std::string read_text_or_xz(const std::string& path);

/// The documents of a text that came from `origin` (a path, for messages), in order:
///   plain         what lies between lines "<|endoftext|>", each without the newline before such a line or at the end
///                 of the text; blank documents are left out. Without any such line the whole text, as it is
///   hf-rows       one document: the joined rows
///   jsonl:FIELD   one document a line, empty ones included, so that line numbers (blank lines aside) count documents
/// Errors as read_text_data, offsets into `text`.
std::vector<std::string> split_documents(std::string_view text, const TextFormat& format, const std::string& origin);

/// Error(kRefused) naming `path`, line and offset of the first byte that is not well-formed UTF-8.
void check_utf8(std::string_view text, const std::string& path);

/// The text's lines with their newlines; the last may have none.
std::vector<std::string_view> split_lines(std::string_view text);
/// Whether a line has nothing but white space.
bool is_blank(std::string_view line);

}  // namespace bitloom

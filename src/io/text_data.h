#pragma once
// Evaluation and calibration texts.

#include <string>
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

}  // namespace bitloom

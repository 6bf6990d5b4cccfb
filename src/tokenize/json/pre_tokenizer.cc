#include "tokenize/json/pre_tokenizer.h"

#include <string>

#include "tokenize/bpe/byte_level.h"
#include "tokenize/json/pattern.h"
#include "tokenize/json/split_behavior.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

TextPiece part_of(TextPiece piece, size_t begin, size_t end) {
  return {piece.text.substr(begin, end - begin), piece.at_start && begin == 0};
}

// Cuts where characters satisfy `is_delimiter`; each such character is a match of its own.
template <typename Predicate>
void split_on_characters(TextPiece piece, Predicate is_delimiter, SplitBehavior behavior, PieceSink sink) {
  const auto give = [&](size_t begin, size_t end) { sink(part_of(piece, begin, end)); };
  SplitCollector collector(behavior, give);
  size_t previous = 0;
  for (size_t i = 0; i < piece.text.size();) {
    const size_t begin = i;
    if (!is_delimiter(next_code_point(piece.text, i))) continue;
    if (begin > previous) collector.add(previous, begin, false);
    collector.add(begin, i, true);
    previous = i;
  }
  if (previous < piece.text.size()) collector.add(previous, piece.text.size(), false);
  collector.finish();
}

class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(bool (*is_delimiter)(char32_t), SplitBehavior behavior)
      : is_delimiter_(is_delimiter), behavior_(behavior) {}
  void split(TextPiece piece, RegexScratch&, PieceSink sink) const override {
    split_on_characters(piece, is_delimiter_, behavior_, sink);
  }

 private:
  bool (*is_delimiter_)(char32_t);
  SplitBehavior behavior_;
};

class DelimiterSplit : public PreTokenizer {
 public:
  explicit DelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  void split(TextPiece piece, RegexScratch&, PieceSink sink) const override {
    split_on_characters(
        piece, [&](char32_t c) { return c == delimiter_; }, SplitBehavior::kRemoved, sink);
  }

 private:
  char32_t delimiter_;
};

template <typename Pattern>
class PatternSplit : public PreTokenizer {
 public:
  PatternSplit(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(TextPiece piece, RegexScratch& scratch, PieceSink sink) const override {
    const auto give = [&](size_t begin, size_t end) { sink(part_of(piece, begin, end)); };
    SplitCollector collector(behavior_, give);
    pattern_.split(piece.text, scratch,
                   [&](size_t begin, size_t end, bool match) { collector.add(begin, end, match != invert_); });
    collector.finish();
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class PrefixSpace : public PreTokenizer {
 public:
  void split(TextPiece piece, RegexScratch&, PieceSink sink) const override {
    if (piece.text.starts_with(' ')) return sink(piece);
    const std::string text = " " + std::string(piece.text);
    sink({text, piece.at_start});
  }
};

// The byte alphabet when later stages must see it; at the end of the chain PreTokenizers leaves it to the consumer.
class ByteAlphabet : public PreTokenizer {
 public:
  void split(TextPiece piece, RegexScratch&, PieceSink sink) const override {
    const std::string text = to_byte_alphabet(piece.text);
    sink({text, piece.at_start});
  }
};

class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };

  Metaspace(char32_t replacement, Prepend prepend, bool split)
      : replacement_(replacement), prepend_(prepend), split_(split) {
    append_utf8(spelled_, replacement);
  }

  void split(TextPiece piece, RegexScratch&, PieceSink sink) const override {
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2 + spelled_.size());
    if (wants_prefix(piece)) text += spelled_;
    for (const char c : piece.text) {
      if (c == ' ') {
        text += spelled_;
      } else {
        text += c;
      }
    }
    const TextPiece whole{text, piece.at_start};
    if (!split_) return sink(whole);
    split_on_characters(
        whole, [&](char32_t c) { return c == replacement_; }, SplitBehavior::kMergedWithNext, sink);
  }

 private:
  bool wants_prefix(TextPiece piece) const {
    if (piece.text.starts_with(' ') || piece.text.starts_with(spelled_)) return false;
    return prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.at_start);
  }

  char32_t replacement_;
  Prepend prepend_;
  bool split_;
  std::string spelled_;
};

using PreTokenizerPtr = std::unique_ptr<const PreTokenizer>;
using Stages = std::vector<PreTokenizerPtr>;

PreTokenizerPtr regex_split(Regex regex, SplitBehavior behavior, bool invert) {
  return std::make_unique<PatternSplit<Regex>>(std::move(regex), behavior, invert);
}

void add_byte_level(const JsonNode& node, Stages& out) {
  if (node.flag_or("add_prefix_space", true)) out.push_back(std::make_unique<PrefixSpace>());
  if (node.flag_or("use_regex", true)) {
    out.push_back(regex_split(Regex(kGpt2Regex, node), SplitBehavior::kIsolated, false));
  }
  out.push_back(std::make_unique<ByteAlphabet>());
}

void add_split(const JsonNode& node, Stages& out) {
  out.push_back(std::make_unique<PatternSplit<TextPattern>>(
      TextPattern(node.at("pattern")), parse_split_behavior(node.at("behavior")), node.at("invert").flag()));
}

void add_digits(const JsonNode& node, Stages& out) {
  const bool individual = node.at("individual_digits").flag();
  out.push_back(
      std::make_unique<CharacterSplit>(is_numeric, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous));
}

void add_punctuation(const JsonNode& node, Stages& out) {
  const auto behavior = node.find("behavior");
  out.push_back(std::make_unique<CharacterSplit>(
      is_punctuation, behavior ? parse_split_behavior(*behavior) : SplitBehavior::kIsolated));
}

// \w+|[^\w\s]+ of the Rust regex crate.
void add_whitespace(const JsonNode&, Stages& out) {
  const std::string word = std::string(kRustWordClass);
  const std::string pattern = "[" + word + "]+|[^" + word + kSpaceClass + "]+";
  out.push_back(regex_split(Regex(pattern), SplitBehavior::kRemoved, true));
}

void add_whitespace_split(const JsonNode&, Stages& out) {
  out.push_back(std::make_unique<CharacterSplit>(is_whitespace, SplitBehavior::kRemoved));
}

void add_bert(const JsonNode& node, Stages& out) {
  add_whitespace_split(node, out);
  out.push_back(std::make_unique<CharacterSplit>(is_punctuation, SplitBehavior::kIsolated));
}

void add_delimiter(const JsonNode& node, Stages& out) {
  out.push_back(std::make_unique<DelimiterSplit>(node.at("delimiter").character()));
}

void add_metaspace(const JsonNode& node, Stages& out) {
  const std::string scheme = node.text_or("prepend_scheme", "always");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    node.at("prepend_scheme").reject(fmt::format("is '{}' (supported: always, first, never)", scheme));
  // The older spelling: add_prefix_space false means never, true says nothing.
  const bool never = !node.flag_or("add_prefix_space", true);
  if (never && node.find("prepend_scheme") && scheme != "never")
    node.at("prepend_scheme").reject(fmt::format("is '{}', but add_prefix_space is false", scheme));
  const Metaspace::Prepend prepend = never || scheme == "never" ? Metaspace::Prepend::kNever
                                     : scheme == "first"        ? Metaspace::Prepend::kFirst
                                                                : Metaspace::Prepend::kAlways;
  out.push_back(std::make_unique<Metaspace>(node.at("replacement").character(), prepend, node.flag_or("split", true)));
}

struct Row {
  std::string_view type;
  void (*add)(const JsonNode&, Stages&);  // nullptr: a sequence
};

constexpr Row kRows[] = {
    {"ByteLevel", add_byte_level},  {"Split", add_split},
    {"Digits", add_digits},         {"Punctuation", add_punctuation},
    {"Whitespace", add_whitespace}, {"WhitespaceSplit", add_whitespace_split},
    {"Metaspace", add_metaspace},   {"CharDelimiterSplit", add_delimiter},
    {"BertPreTokenizer", add_bert}, {"Sequence", nullptr},
};

}  // namespace

PreTokenizers::PreTokenizers(const JsonNode& node) {
  append(node);
  if (!stages_.empty() && dynamic_cast<const ByteAlphabet*>(stages_.back().get())) {
    stages_.pop_back();
    byte_alphabet_ = true;
  }
}

void PreTokenizers::append(const JsonNode& node) {
  const Row& row = choose_part(kRows, node);
  if (row.add) return row.add(node, stages_);
  for (const JsonNode& item : node.at("pretokenizers").items()) append(item);
}

void PreTokenizers::run(size_t stage, TextPiece piece, RegexScratch& scratch, PieceSink sink) const {
  if (piece.text.empty()) return;
  if (stage == stages_.size()) return sink(piece);
  stages_[stage]->split(piece, scratch, [&](TextPiece part) { run(stage + 1, part, scratch, sink); });
}

}  // namespace bitloom

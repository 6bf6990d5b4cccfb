#include "tokenize/json/normalizer.h"

#include "tokenize/bpe/byte_level.h"
#include "tokenize/json/pattern.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

class UnicodeForm : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  void apply(NormalizedText& piece, RegexScratch&) const override { piece.text = to_normal_form(piece.text, form_); }

 private:
  NormalForm form_;
};

class Lowercase : public Normalizer {
 public:
  void apply(NormalizedText& piece, RegexScratch&) const override { piece.text = to_lower_case(piece.text); }
};

class ByteAlphabet : public Normalizer {
 public:
  void apply(NormalizedText& piece, RegexScratch&) const override { piece.text = to_byte_alphabet(piece.text); }
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(NormalizedText& piece, RegexScratch&) const override {
    if (!piece.text.empty()) piece.text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class StripSpace : public Normalizer {
 public:
  StripSpace(bool left, bool right) : left_(left), right_(right) {}

  void apply(NormalizedText& piece, RegexScratch&) const override {
    const std::string_view text = piece.text;
    size_t begin = 0;
    for (size_t next = 0; left_ && begin < text.size(); begin = next) {
      if (!is_whitespace(next_code_point(text, next))) break;
    }
    size_t end = text.size();
    while (right_ && end > begin) {
      const size_t previous = previous_code_point(text, end);
      size_t position = previous;
      if (!is_whitespace(next_code_point(text, position))) break;
      end = previous;
    }
    if (begin > 0) piece.at_start = false;
    piece.text = std::string(text.substr(begin, end - begin));
  }

 private:
  bool left_;
  bool right_;
};

// Keeps the characters for which `keep` is true, mapped by `map`.
template <typename Keep, typename Map>
void filter(NormalizedText& piece, Keep keep, Map map) {
  std::string out;
  out.reserve(piece.text.size());
  for (size_t i = 0; i < piece.text.size();) {
    const bool first = i == 0;
    const char32_t c = next_code_point(piece.text, i);
    if (keep(c)) append_utf8(out, map(c));
    if (first && !keep(c)) piece.at_start = false;
  }
  piece.text = std::move(out);
}

class StripAccents : public Normalizer {
 public:
  void apply(NormalizedText& piece, RegexScratch&) const override {
    filter(
        piece, [](char32_t c) { return !is_combining_mark(c); }, [](char32_t c) { return c; });
  }
};

// The clean-up of Google's NMT systems: control characters go, odd spaces become spaces.
class Nmt : public Normalizer {
 public:
  void apply(NormalizedText& piece, RegexScratch&) const override { filter(piece, is_kept, mapped); }

 private:
  static bool is_kept(char32_t c) {
    return !((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F);
  }
  static char32_t mapped(char32_t c) {
    const bool space = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                       c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    return space ? U' ' : c;
  }
};

class Replace : public Normalizer {
 public:
  Replace(TextPattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(NormalizedText& piece, RegexScratch& scratch) const override {
    const std::string_view text = piece.text;
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    pattern_.split(text, scratch, [&](size_t begin, size_t end, bool match) {
      // What replaces a match stands where the match's last character stood.
      if (match && begin == 0 && end > 0 && (content_.empty() || previous_code_point(text, end) > 0))
        piece.at_start = false;
      out.append(match ? std::string_view(content_) : text.substr(begin, end - begin));
    });
    piece.text = std::move(out);
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

using NormalizerPtr = std::unique_ptr<const Normalizer>;

template <NormalForm form>
NormalizerPtr make_form(const JsonNode&) {
  return std::make_unique<UnicodeForm>(form);
}

template <typename Part>
NormalizerPtr make_plain(const JsonNode&) {
  return std::make_unique<Part>();
}

NormalizerPtr make_prepend(const JsonNode& node) { return std::make_unique<Prepend>(node.at("prepend").text()); }

NormalizerPtr make_strip(const JsonNode& node) {
  return std::make_unique<StripSpace>(node.at("strip_left").flag(), node.at("strip_right").flag());
}

NormalizerPtr make_replace(const JsonNode& node) {
  return std::make_unique<Replace>(TextPattern(node.at("pattern")), node.at("content").text());
}

struct Row {
  std::string_view type;
  NormalizerPtr (*make)(const JsonNode&);  // nullptr: a sequence
};

constexpr Row kRows[] = {
    {"NFC", make_form<NormalForm::kNfc>},
    {"NFD", make_form<NormalForm::kNfd>},
    {"NFKC", make_form<NormalForm::kNfkc>},
    {"NFKD", make_form<NormalForm::kNfkd>},
    {"Lowercase", make_plain<Lowercase>},
    {"StripAccents", make_plain<StripAccents>},
    {"Nmt", make_plain<Nmt>},
    {"ByteLevel", make_plain<ByteAlphabet>},
    {"BertNormalizer", make_bert_normalizer},
    {"Precompiled", make_precompiled},
    {"Strip", make_strip},
    {"Prepend", make_prepend},
    {"Replace", make_replace},
    {"Sequence", nullptr},
};

void append(const JsonNode& node, Normalizers& out) {
  const Row& row = choose_part(kRows, node);
  if (row.make) {
    out.push_back(row.make(node));
    return;
  }
  for (const JsonNode& item : node.at("normalizers").items()) append(item, out);
}

}  // namespace

Normalizers load_normalizers(const JsonNode& node) {
  Normalizers result;
  append(node, result);
  return result;
}

}  // namespace bitloom

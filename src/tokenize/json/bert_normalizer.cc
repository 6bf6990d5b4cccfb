// Normalizer "BertNormalizer", in this order, each where its key says so:
//   clean_text            control characters go, white space becomes a space
//   handle_chinese_chars  a space on either side of an ideograph
//   strip_accents         canonical decomposition without nonspacing marks; when it is absent, as lowercase
//   lowercase
#include "tokenize/json/normalizer.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const JsonNode& node)
      : clean_(node.at("clean_text").flag()),
        part_ideographs_(node.at("handle_chinese_chars").flag()),
        lowercase_(node.at("lowercase").flag()),
        strip_accents_(node.flag_or("strip_accents", lowercase_)) {}

  void apply(NormalizedText& piece, RegexScratch&) const override {
    if (clean_) clean(piece);
    if (part_ideographs_) part_ideographs(piece);
    if (strip_accents_) {
      piece.text = to_normal_form(piece.text, NormalForm::kNfd);
      keep(piece, [](char32_t c) { return !is_bert_mark(c); });
    }
    if (lowercase_) piece.text = to_lower_case(piece.text);
  }

 private:
  template <typename Kept>
  static void keep(NormalizedText& piece, Kept kept) {
    std::string out;
    out.reserve(piece.text.size());
    for (size_t begin = 0, end = 0; begin < piece.text.size(); begin = end) {
      if (kept(next_code_point(piece.text, end))) {
        out.append(piece.text, begin, end - begin);
      } else if (begin == 0) {
        piece.at_start = false;
      }
    }
    piece.text = std::move(out);
  }

  static void clean(NormalizedText& piece) {
    keep(piece, [](char32_t c) { return !is_bert_control(c); });
    std::string out;
    out.reserve(piece.text.size());
    for (size_t begin = 0, end = 0; begin < piece.text.size(); begin = end) {
      if (is_whitespace(next_code_point(piece.text, end))) {
        out += ' ';
      } else {
        out.append(piece.text, begin, end - begin);
      }
    }
    piece.text = std::move(out);
  }

  static void part_ideographs(NormalizedText& piece) {
    std::string out;
    out.reserve(piece.text.size());
    for (size_t begin = 0, end = 0; begin < piece.text.size(); begin = end) {
      const char* space = is_ideograph(next_code_point(piece.text, end)) ? " " : "";
      out.append(space).append(piece.text, begin, end - begin).append(space);
    }
    piece.text = std::move(out);
  }

  bool clean_;
  bool part_ideographs_;
  bool lowercase_;
  bool strip_accents_;
};

}  // namespace

std::unique_ptr<const Normalizer> make_bert_normalizer(const JsonNode& node) {
  return std::make_unique<BertNormalizer>(node);
}

}  // namespace bitloom

// tokenizer.model, with the tokens that files beside it add.
//
// Control symbols ("<s>"), the unknown one and the tokens of files beside it that are written in the text are taken out
// first, as tokenizer.json's added tokens are; the SentencePiece library by itself would spell them.
//
// The text is cut into words, which are remembered, where that cannot matter: at a single space between ASCII letters
// or digits, given that no piece has a space behind another character and that a word by itself gets its space from the
// normalizer ("dummy prefix").
//
// Where tokenizer_config.json is that of a LlamaTokenizer, blanks are as transformers 5 has them (Spaces): the
// normalizer is then told to leave them alone.
#include "base/error.h"
#include "io/hash.h"
#include "tokenize/added_beside.h"
#include "tokenize/engine.h"
#include "tokenize/json/added_tokens.h"
#include "tokenize/piece_cache.h"
#include "tokenize/sentencepiece/spm_document.h"
#include "tokenize/sentencepiece/spm_processor.h"

namespace bitloom {
namespace {

/// What stands before a stretch of text that is the first or follows an added token, given that the model wants a blank
/// before words.
enum class Spaces {
  kLibrary,  // what the SentencePiece library makes of each stretch: a blank more, whatever it begins with
  kAlways,   // a blank where the stretch has none ("legacy": true)
  kFirst     // the same at the start of the text alone ("legacy": false)
};

constexpr std::string_view kSpace = "\xE2\x96\x81";

Spaces spaces_of(const Settings& settings) {
  const JsonNode root(settings.content, "", settings.path);
  const std::string kind = root.text_or("tokenizer_class", "LlamaTokenizer");
  const bool llama = kind == "LlamaTokenizer" || kind == "LlamaTokenizerFast";
  if (settings.content.empty() || (!llama && !root.find("legacy"))) return Spaces::kLibrary;
  return root.flag_or("legacy", false) ? Spaces::kAlways : Spaces::kFirst;
}

bool begins_with_space(std::string_view text) { return text.starts_with(' ') || text.starts_with(kSpace); }

bool is_ascii_word(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

class SentencePieceEngine : public Tokenizer::Engine {
 public:
  SentencePieceEngine(const std::string& path, const Neighbours& files)
      : processor_(read_spm_model(read_text(path), path)) {
    spaces_ = adds_space() ? spaces_of(files.tokenizer_config) : Spaces::kLibrary;
    if (leaves_spaces()) processor_.leave_spaces();
    const auto find = [this](const std::string& token) { return piece_to_id(token); };
    const Json own = symbols();
    const Json added = with_added_beside(own, files, static_cast<size_t>(size()), find);
    added_ = AddedTokens(JsonNode(added, "added_tokens", path), {}, static_cast<size_t>(size()), find);
    hash = sha256_file(path);
    if (added != own || leaves_spaces()) {
      hash = sha256_hex(fmt::format("{} {} {}", hash, static_cast<int>(spaces_), added.dump()));
    }
    if (processor_.bos_id() >= 0) bos = processor_.bos_id();
    if (processor_.eos_id() >= 0) eos = processor_.eos_id();
    if (bos) before_ = {*bos};
    words_stand_alone_ = no_piece_spans_words() && adds_space_before_words();
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    PieceCache cache;
    std::vector<int32_t> ids;
    if (add_special) ids = before_;
    // Pieces are normalized one by one, so tokens that are searched for in normalized text are searched for here too.
    split(text, false, ids, [&](std::string_view part) {
      split(part, true, ids, [&](std::string_view words) { append(words, words.data() == text.data(), cache, ids); });
    });
    if (add_special) ids.insert(ids.end(), after_.begin(), after_.end());
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    std::vector<int32_t> run;
    for (const int32_t id : ids) {
      const auto added = added_.by_id().find(id);
      if (added == added_.by_id().end()) {
        if (id >= 0 && id < size()) run.push_back(id);
      } else if (!skip_special || !added->second.special) {
        flush(run, text);
        text += added->second.content;
      }
    }
    flush(run, text);
    return text;
  }

  std::optional<int32_t> token_to_id(const std::string& token) const override {
    const auto added = added_.find(token);
    return added ? added : piece_to_id(token);
  }

  std::optional<std::string> id_to_token(int32_t id) const override {
    const auto added = added_.by_id().find(id);
    if (added != added_.by_id().end()) return added->second.content;
    if (id < 0 || id >= size()) return std::nullopt;
    return processor_.model().text(id);
  }

  bool is_added(int32_t id) const override { return added_.by_id().contains(id); }
  int64_t vocab_size() const override {
    const int64_t last = added_.by_id().empty() ? -1 : added_.by_id().rbegin()->first;
    return std::max(base_vocab_size(), last + 1);
  }
  int64_t base_vocab_size() const override { return size(); }
  std::vector<int32_t> prefix() const override { return before_; }
  void set_special(std::vector<int32_t> before, std::vector<int32_t> after) override {
    before_ = std::move(before);
    after_ = std::move(after);
  }

 private:
  int64_t size() const { return processor_.model().size(); }

  std::optional<int32_t> piece_to_id(const std::string& token) const {
    const int32_t id = processor_.id_of(token);
    return processor_.model().text(id) == token ? std::optional<int32_t>(id) : std::nullopt;
  }

  /// What the model itself keeps out of text, as the "added_tokens" of a tokenizer.json.
  Json symbols() const {
    Json list = Json::array();
    for (int32_t id = 0; id < size(); ++id) {
      if (processor_.is_symbol(id)) list.push_back(added_token(id, processor_.model().text(id), true));
    }
    return list;
  }

  /// Gives out the stretches of `text` between added tokens, whose ids it appends.
  void split(std::string_view text, bool normalized, std::vector<int32_t>& ids,
             FunctionRef<void(std::string_view)> rest) const {
    if (!added_.any(normalized)) return rest(text);
    added_.split(text, normalized, [&](size_t begin, size_t end, int32_t id) {
      if (id < 0) {
        rest(text.substr(begin, end - begin));
      } else if (begin < end) {
        ids.push_back(id);
      }
    });
  }

  bool no_piece_spans_words() const {
    for (int32_t id = 0; id < size(); ++id) {
      if (processor_.is_symbol(id)) continue;
      std::string_view piece = processor_.model().text(id);
      while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
      if (piece.find(kSpace) != piece.npos || piece.find(' ') != piece.npos) return false;
    }
    return true;
  }

  bool adds_space() const {
    const SpmModel& model = processor_.model();
    return model.add_dummy_prefix && !model.space_is_suffix && model.escape_whitespaces;
  }

  bool adds_space_before_words() const {
    std::vector<int32_t> apart;
    processor_.encode("a", apart);
    processor_.encode(leaves_spaces() ? " b" : "b", apart);
    std::vector<int32_t> together;
    processor_.encode("a b", together);
    return apart == together && !processor_.is_symbol(processor_.id_of(kSpace));
  }

  bool leaves_spaces() const { return spaces_ != Spaces::kLibrary; }

  void append(std::string_view text, bool at_start, PieceCache& cache, std::vector<int32_t>& ids) const {
    size_t begin = 0;
    bool lacks_space = leaves_spaces() && (at_start || spaces_ == Spaces::kAlways) && !begins_with_space(text);
    for (size_t i = 1; words_stand_alone_ && i + 1 < text.size(); ++i) {
      if (text[i] != ' ' || !is_ascii_word(text[i - 1]) || !is_ascii_word(text[i + 1])) continue;
      append_remembered(text.substr(begin, i - begin), lacks_space, cache, ids);
      begin = leaves_spaces() ? i : i + 1;
      lacks_space = false;
    }
    append_remembered(text.substr(begin), lacks_space, cache, ids);
  }

  void append_remembered(std::string_view word, bool lacks_space, PieceCache& cache, std::vector<int32_t>& ids) const {
    if (lacks_space && !word.empty()) return append_remembered(" " + std::string(word), false, cache, ids);
    if (cache.find(word, ids)) return;
    const size_t before = ids.size();
    processor_.encode(word, ids);
    cache.insert(word, ids.data() + before, ids.size() - before);
  }

  // A model that adds blanks drops the one before the first word, which is right at the start of the text only.
  void flush(std::vector<int32_t>& run, std::string& text) const {
    if (run.empty()) return;
    std::string part = processor_.decode(run);
    if (leaves_spaces() && text.empty() && part.starts_with(' ')) part.erase(0, 1);
    const bool begins_word = processor_.model().text(run.front()).starts_with(kSpace);
    if (!text.empty() && begins_word && !part.starts_with(' ')) text += ' ';
    text += part;
    run.clear();
  }

  SpmProcessor processor_;
  AddedTokens added_;
  Spaces spaces_ = Spaces::kLibrary;
  std::vector<int32_t> before_, after_;
  bool words_stand_alone_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer::Engine> make_sentencepiece_engine(const std::string& path, const Neighbours& files) {
  auto engine = std::make_unique<SentencePieceEngine>(path, files);
  engine->origin = path;
  engine->description = fmt::format("tokenizer.model SentencePiece, {} tokens", engine->vocab_size());
  return engine;
}

}  // namespace bitloom

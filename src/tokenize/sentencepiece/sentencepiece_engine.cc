// tokenizer.model through the SentencePiece library.
//
// Control symbols ("<s>") and the unknown one that are written in the text are taken out first, as tokenizer.json's
// added tokens are; the library by itself would spell them.
//
// The library takes its time (3 MB/s) and holds a whole text several times. So the text is cut into words, which are
// remembered, where that cannot matter: at a single space between ASCII letters or digits, given that no piece has a
// space behind another character and that a word by itself gets its space from the library ("dummy prefix").
#include <sentencepiece_processor.h>

#include "base/error.h"
#include "io/hash.h"
#include "tokenize/engine.h"
#include "tokenize/json/added_tokens.h"
#include "tokenize/piece_cache.h"

namespace bitloom {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";

bool is_ascii_word(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

class SentencePieceEngine : public Tokenizer::Engine {
 public:
  explicit SentencePieceEngine(const std::string& path) {
    const auto status = processor_.Load(path);
    if (!status.ok()) refuse("{}: the SentencePiece library says: {}", path, status.ToString());
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) symbols_.insert(processor_.IdToPiece(id), id);
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
    size_t done = 0;
    for (size_t i = 0; i < text.size();) {
      int32_t id = -1;
      const size_t length = symbols_.longest(text, i, id);
      if (length == 0) {
        ++i;
        continue;
      }
      append(text.substr(done, i - done), cache, ids);
      ids.push_back(id);
      done = i += length;
    }
    append(text.substr(done), cache, ids);
    if (add_special) ids.insert(ids.end(), after_.begin(), after_.end());
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    std::vector<int> run;
    for (const int32_t id : ids) {
      if (id < 0 || id >= processor_.GetPieceSize()) continue;
      if (!processor_.IsControl(id) && !processor_.IsUnknown(id)) {
        run.push_back(id);
      } else if (!skip_special) {
        flush(run, text);
        text += processor_.IdToPiece(id);
      }
    }
    flush(run, text);
    return text;
  }

  std::optional<int32_t> token_to_id(const std::string& token) const override {
    const int id = processor_.PieceToId(token);
    const bool known = id >= 0 && id < processor_.GetPieceSize() && processor_.IdToPiece(id) == token;
    return known ? std::optional<int32_t>(id) : std::nullopt;
  }

  std::optional<std::string> id_to_token(int32_t id) const override {
    if (id < 0 || id >= processor_.GetPieceSize()) return std::nullopt;
    return processor_.IdToPiece(id);
  }

  int64_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::vector<int32_t> prefix() const override { return before_; }
  void set_special(std::vector<int32_t> before, std::vector<int32_t> after) override {
    before_ = std::move(before);
    after_ = std::move(after);
  }

 private:
  bool no_piece_spans_words() const {
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) continue;
      std::string_view piece = processor_.IdToPiece(id);
      while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
      if (piece.find(kSpace) != piece.npos || piece.find(' ') != piece.npos) return false;
    }
    return true;
  }

  bool adds_space_before_words() const {
    std::vector<int32_t> apart;
    append_word("a", apart);
    append_word("b", apart);
    std::vector<int32_t> together;
    append_word("a b", together);
    const int space = processor_.PieceToId({kSpace.data(), kSpace.size()});
    return apart == together && !processor_.IsUnknown(space);
  }

  void append(std::string_view text, PieceCache& cache, std::vector<int32_t>& ids) const {
    size_t begin = 0;
    for (size_t i = 1; words_stand_alone_ && i + 1 < text.size(); ++i) {
      if (text[i] != ' ' || !is_ascii_word(text[i - 1]) || !is_ascii_word(text[i + 1])) continue;
      append_remembered(text.substr(begin, i - begin), cache, ids);
      begin = i + 1;
    }
    append_remembered(text.substr(begin), cache, ids);
  }

  void append_remembered(std::string_view word, PieceCache& cache, std::vector<int32_t>& ids) const {
    if (cache.find(word, ids)) return;
    const size_t before = ids.size();
    append_word(word, ids);
    cache.insert(word, ids.data() + before, ids.size() - before);
  }

  void append_word(std::string_view text, std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    std::vector<int> pieces;
    const auto status = processor_.Encode({text.data(), text.size()}, &pieces);
    if (!status.ok()) fail(ErrorKind::kFailed, "{}: the SentencePiece library says: {}", origin, status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  // The library drops the space before the first word, which is right at the start of the text only.
  void flush(std::vector<int>& run, std::string& text) const {
    if (run.empty()) return;
    std::string part;
    const auto status = processor_.Decode(run, &part);
    if (!status.ok()) fail(ErrorKind::kFailed, "{}: the SentencePiece library says: {}", origin, status.ToString());
    if (!text.empty() && processor_.IdToPiece(run.front()).starts_with(kSpace) && !part.starts_with(' ')) text += ' ';
    text += part;
    run.clear();
  }

  sentencepiece::SentencePieceProcessor processor_;
  TokenTrie symbols_;
  std::vector<int32_t> before_, after_;
  bool words_stand_alone_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer::Engine> make_sentencepiece_engine(const std::string& path) {
  auto engine = std::make_unique<SentencePieceEngine>(path);
  engine->origin = path;
  engine->hash = sha256_file(path);
  engine->description = fmt::format("tokenizer.model SentencePiece, {} tokens", engine->vocab_size());
  return engine;
}

}  // namespace bitloom

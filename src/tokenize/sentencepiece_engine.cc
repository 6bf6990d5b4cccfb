// tokenizer.model through the SentencePiece library.
//
// Control symbols ("<s>") and the unknown one that are written in the text are taken out first, as tokenizer.json's
// added tokens are; the library by itself would spell them.
#include <sentencepiece_processor.h>

#include "base/error.h"
#include "io/hash.h"
#include "tokenize/added_tokens.h"
#include "tokenize/engine.h"

namespace bitloom {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";

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
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
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
      append(text.substr(done, i - done), ids);
      ids.push_back(id);
      done = i += length;
    }
    append(text.substr(done), ids);
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
  void append(std::string_view text, std::vector<int32_t>& ids) const {
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

// tokenizer.model through the SentencePiece library.
//
// Control symbols ("<s>"), the unknown one and the tokens of files beside it that are written in the text are taken out
// first, as tokenizer.json's added tokens are; the library by itself would spell them.
//
// The library takes its time (3 MB/s) and holds a whole text several times. So the text is cut into words, which are
// remembered, where that cannot matter: at a single space between ASCII letters or digits, given that no piece has a
// space behind another character and that a word by itself gets its space from the library ("dummy prefix").
//
// Where tokenizer_config.json is that of a LlamaTokenizer, blanks are as transformers 5 has them (Spaces): the library
// is then told to leave them alone.
#include <sentencepiece_processor.h>

#include <unordered_set>

#include "base/error.h"
#include "io/hash.h"
#include "tokenize/added_beside.h"
#include "tokenize/engine.h"
#include "tokenize/json/added_tokens.h"
#include "tokenize/piece_cache.h"
#include "tokenize/sentencepiece/spm_document.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

/// What stands before a stretch of text that is the first or follows an added token, given that the model wants a blank
/// before words.
enum class Spaces {
  kLibrary,  // what the library makes of each stretch: a blank more, whatever it begins with
  kAlways,   // a blank where the stretch has none ("legacy": true)
  kFirst     // the same at the start of the text alone ("legacy": false)
};

constexpr std::string_view kSpace = "\xE2\x96\x81";

/// A tail of a serialized ModelProto that sets add_dummy_prefix (3) and remove_extra_whitespaces (4) of its
/// normalizer_spec (3) to false: of two messages in a row, the later one's fields count.
constexpr std::string_view kLeavesSpaces("\x1A\x04\x18\x00\x20\x00", 6);

Spaces spaces_of(const Settings& settings) {
  const JsonNode root(settings.content, "", settings.path);
  const std::string kind = root.text_or("tokenizer_class", "LlamaTokenizer");
  const bool llama = kind == "LlamaTokenizer" || kind == "LlamaTokenizerFast";
  if (settings.content.empty() || (!llama && !root.find("legacy"))) return Spaces::kLibrary;
  return root.flag_or("legacy", false) ? Spaces::kAlways : Spaces::kFirst;
}

bool begins_with_space(std::string_view text) { return text.starts_with(' ') || text.starts_with(kSpace); }

/// About the bytes that stay of either end of a long run of unknown characters, so that what stands beside the run
/// meets the same neighbours.
constexpr size_t kRunEnd = 64;

bool is_ascii_word(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

class SentencePieceEngine : public Tokenizer::Engine {
 public:
  SentencePieceEngine(const std::string& path, const Neighbours& files) {
    auto status = processor_.Load(path);
    if (!status.ok()) refuse("{}: the SentencePiece library says: {}", path, status.ToString());
    spaces_ = adds_space() ? spaces_of(files.tokenizer_config) : Spaces::kLibrary;
    if (spaces_ != Spaces::kLibrary) {
      status = processor_.LoadFromSerializedProto(read_text(path).append(kLeavesSpaces));
      if (!status.ok()) refuse("{}: the SentencePiece library says: {}", path, status.ToString());
    }
    const auto find = [this](const std::string& token) { return piece_to_id(token); };
    const Json own = symbols();
    const Json added = with_added_beside(own, files, static_cast<size_t>(processor_.GetPieceSize()), find);
    added_ =
        AddedTokens(JsonNode(added, "added_tokens", path), {}, static_cast<size_t>(processor_.GetPieceSize()), find);
    hash = sha256_file(path);
    if (added != own || spaces_ != Spaces::kLibrary) {
      hash = sha256_hex(fmt::format("{} {} {}", hash, static_cast<int>(spaces_), added.dump()));
    }
    if (processor_.bos_id() >= 0) bos = processor_.bos_id();
    if (processor_.eos_id() >= 0) eos = processor_.eos_id();
    if (bos) before_ = {*bos};
    note_characters();
    words_stand_alone_ = no_piece_spans_words() && adds_space_before_words();
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    PieceCache cache;
    std::vector<int32_t> ids;
    if (add_special) ids = before_;
    // The library normalizes by itself, so tokens that are searched for in normalized text are searched for here too.
    split(text, false, ids, [&](std::string_view part) {
      split(part, true, ids, [&](std::string_view words) { append(words, words.data() == text.data(), cache, ids); });
    });
    if (add_special) ids.insert(ids.end(), after_.begin(), after_.end());
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    std::vector<int> run;
    for (const int32_t id : ids) {
      const auto added = added_.by_id().find(id);
      if (added == added_.by_id().end()) {
        if (id >= 0 && id < processor_.GetPieceSize()) run.push_back(id);
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
    if (id < 0 || id >= processor_.GetPieceSize()) return std::nullopt;
    return processor_.IdToPiece(id);
  }

  bool is_added(int32_t id) const override { return added_.by_id().contains(id); }
  int64_t vocab_size() const override {
    const int64_t last = added_.by_id().empty() ? -1 : added_.by_id().rbegin()->first;
    return std::max(base_vocab_size(), last + 1);
  }
  int64_t base_vocab_size() const override { return processor_.GetPieceSize(); }
  std::vector<int32_t> prefix() const override { return before_; }
  void set_special(std::vector<int32_t> before, std::vector<int32_t> after) override {
    before_ = std::move(before);
    after_ = std::move(after);
  }

 private:
  std::optional<int32_t> piece_to_id(const std::string& token) const {
    const int id = processor_.PieceToId(token);
    const bool known = id >= 0 && id < processor_.GetPieceSize() && processor_.IdToPiece(id) == token;
    return known ? std::optional<int32_t>(id) : std::nullopt;
  }

  /// What the model itself keeps out of text, as the "added_tokens" of a tokenizer.json.
  Json symbols() const {
    Json list = Json::array();
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      const std::string& piece = processor_.IdToPiece(id);
      const bool symbol = processor_.IsControl(id) || processor_.IsUnknown(id);
      if (symbol && piece_to_id(piece) == id) list.push_back(added_token(id, piece, true));
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
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) continue;
      std::string_view piece = processor_.IdToPiece(id);
      while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
      if (piece.find(kSpace) != piece.npos || piece.find(' ') != piece.npos) return false;
    }
    return true;
  }

  bool adds_space() const {
    std::vector<std::string> pieces;
    return processor_.Encode("a", &pieces).ok() && !pieces.empty() && pieces.front().starts_with(kSpace);
  }

  bool adds_space_before_words() const {
    std::vector<int32_t> apart;
    append_word("a", apart);
    append_word(leaves_spaces() ? " b" : "b", apart);
    std::vector<int32_t> together;
    append_word("a b", together);
    const int space = processor_.PieceToId({kSpace.data(), kSpace.size()});
    return apart == together && !processor_.IsUnknown(space);
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
    append_word(word, ids);
    cache.insert(word, ids.data() + before, ids.size() - before);
  }

  void note_characters() {
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      shortens_runs_ = shortens_runs_ && !processor_.IsByte(id);
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) continue;
      const std::string& piece = processor_.IdToPiece(id);
      for (size_t i = 0; i < piece.size();) characters_.insert(next_code_point(piece, i));
    }
    characters_.insert(' ');
  }

  /// Where the run of characters of no piece that begins at `begin` ends.
  size_t unknown_end(std::string_view text, size_t begin) const {
    for (size_t next = begin; begin < text.size(); begin = next) {
      if (characters_.contains(next_code_point(text, next))) break;
    }
    return begin;
  }

  static size_t character_end(std::string_view text, size_t at) {
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    return at;
  }

  /// Whether all of the text is unknown, as the library normalizes it. Asked in short parts, for time, each between
  /// digits, which no mark joins, so that no space at its ends is lost.
  bool is_unknown(std::string_view text) const {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = character_end(text, std::min(begin + 4 * kRunEnd, text.size()));
      std::vector<std::string> pieces;
      if (!processor_.Encode(fmt::format("1{}1", text.substr(begin, end - begin)), &pieces).ok()) return false;
      const std::string joined = fmt::format("{}", fmt::join(pieces, ""));
      std::string_view normal = joined;
      if (normal.starts_with(kSpace)) normal.remove_prefix(kSpace.size());
      if (normal.size() < 3 || !normal.starts_with('1') || !normal.ends_with('1')) return false;
      normal = normal.substr(1, normal.size() - 2);
      if (unknown_end(normal, 0) != normal.size()) return false;
      begin = end;
    }
    return true;
  }

  /// The library makes one token of a run of unknown characters, in time that is quadratic in its length. So long runs
  /// lose their middle, where normalization makes nothing known of it.
  std::string with_short_runs(std::string_view text) const {
    std::string out;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = unknown_end(text, begin);
      const std::string_view run = text.substr(begin, end - begin);
      if (run.size() > 4 * kRunEnd && is_unknown(run)) {
        const size_t first = character_end(run, kRunEnd);
        const size_t last = character_end(run, run.size() - kRunEnd);
        out.append(run.substr(0, first)).append(run.substr(last));
      } else {
        out += run;
      }
      begin = end;
      if (begin < text.size()) next_code_point(text, begin);
      out += text.substr(end, begin - end);
    }
    return out;
  }

  void append_word(std::string_view text, std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    const std::string shorter = shortens_runs_ && text.size() > 4 * kRunEnd ? with_short_runs(text) : std::string(text);
    std::vector<int> pieces;
    const auto status = processor_.Encode(shorter, &pieces);
    if (!status.ok()) fail(ErrorKind::kFailed, "{}: the SentencePiece library says: {}", origin, status.ToString());
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  // A library that leaves no spaces alone drops the one before the first word, which is right at the start of the text
  // only.
  void flush(std::vector<int>& run, std::string& text) const {
    if (run.empty()) return;
    std::string part;
    const auto status = processor_.Decode(run, &part);
    if (!status.ok()) fail(ErrorKind::kFailed, "{}: the SentencePiece library says: {}", origin, status.ToString());
    if (leaves_spaces() && text.empty() && part.starts_with(' ')) part.erase(0, 1);
    if (!text.empty() && processor_.IdToPiece(run.front()).starts_with(kSpace) && !part.starts_with(' ')) text += ' ';
    text += part;
    run.clear();
  }

  sentencepiece::SentencePieceProcessor processor_;
  AddedTokens added_;
  Spaces spaces_ = Spaces::kLibrary;
  std::vector<int32_t> before_, after_;
  std::unordered_set<char32_t> characters_;  // of the pieces
  bool shortens_runs_ = true;                // unknown characters are no bytes
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

#include "tokenize/tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/engine.h"

namespace bitloom {
namespace {

// As llama.cpp (llama_vocab::impl::load), without the tokens of filling in the middle.
constexpr std::array kEnds = {"<|eot_id|>",      "<|im_end|>",      "<|end|>",
                              "<|return|>",      "<|call|>",        "<|flush|>",
                              "<|calls|>",       "<|eom_id|>",      "<|eot|>",
                              "<end_of_turn>",   "<turn|>",         "<|endoftext|>",
                              "<|end_of_text|>", "<EOT>",           "_<EOT>",
                              "[EOT]",           "[EOS]",           "<end_of_utterance>",
                              "<|endofturn|>",   "<|end_of_turn|>", "<\uFF5Cend\u2581of\u2581sentence\uFF5C>"};

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
// No character is longer than 4 bytes and every token has at least one, so more tokens than this that still end in
// U+FFFD do not wait for anything. (Skipped special tokens may stand between.)
constexpr size_t kMaxWaiting = 16;

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Engine> engine) : engine_(std::move(engine)) {}

Tokenizer Tokenizer::from_json(const Json& document, const std::string& origin) {
  return Tokenizer(make_json_engine(document, origin, std::filesystem::path(origin).filename().string()));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
  const size_t invalid = first_invalid_utf8(text);
  if (invalid != text.size()) refuse("text to tokenize: byte {} is not valid UTF-8", invalid);
  std::vector<int32_t> ids = engine_->encode(text, add_special);
  if (const auto id = first_beyond_limit(ids))
    refuse("{}: the text holds '{}', token {}, but the model embeds {} tokens", engine_->origin, id_to_token(*id), *id,
           rows_);
  return ids;
}

std::optional<int32_t> Tokenizer::first_beyond_limit(std::span<const int32_t> ids) const {
  const auto beyond = std::ranges::find_if(ids, [this](int32_t id) { return id >= rows_; });
  return beyond == ids.end() ? std::nullopt : std::optional(*beyond);
}

Tokenizer Tokenizer::limited_to(int64_t rows) const {
  Tokenizer limited = *this;
  limited.rows_ = rows;
  return limited;
}

Tokenizer Tokenizer::unlimited() const { return limited_to(kNoLimit); }

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  return engine_->decode(ids, skip_special);
}

int64_t Tokenizer::vocab_size() const { return engine_->vocab_size(); }
int64_t Tokenizer::base_vocab_size() const { return engine_->base_vocab_size(); }

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return engine_->token_to_id(std::string(token));
}

std::string Tokenizer::id_to_token(int32_t id) const {
  auto token = engine_->id_to_token(id);
  if (!token) misuse("{}: no token has id {} (ids go from 0 to {})", engine_->origin, id, vocab_size() - 1);
  return *std::move(token);
}

std::optional<int32_t> Tokenizer::bos_id() const { return engine_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return engine_->eos; }

std::vector<int32_t> Tokenizer::end_ids() const {
  std::vector<int32_t> ids;
  const auto add = [&ids](std::optional<int32_t> id) {
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  };
  add(eos_id());
  for (const char* spelled : kEnds) {
    const auto id = token_to_id(spelled);
    if (id && engine_->is_added(*id)) add(id);
  }
  add(turn_end_);
  return ids;
}

Tokenizer Tokenizer::with_turn_ending_in(std::string_view text) const {
  Tokenizer ending = *this;
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (first_invalid_utf8(text) != text.size()) return ending;
  const std::vector<int32_t> ids = engine_->encode(text, false);
  if (!ids.empty() && engine_->is_added(ids.front())) ending.turn_end_ = ids.front();
  return ending;
}

bool Tokenizer::adds_bos() const {
  const std::vector<int32_t> prefix = engine_->prefix();
  return engine_->bos && !prefix.empty() && prefix.front() == *engine_->bos;
}

const std::string& Tokenizer::hash() const { return engine_->hash; }
std::string Tokenizer::describe() const { return engine_->description; }

Tokenizer::Stream::Stream(const Tokenizer& tokenizer, bool skip_special, std::span<const int32_t> before)
    : tokenizer_(&tokenizer), skip_special_(skip_special) {
  const auto context = before.last(std::min(before.size(), kMaxWaiting));
  ids_.assign(context.begin(), context.end());
  drop_broken_character();
  prefix_ = ids_.size();
  given_ = ids_.empty() ? 0 : tokenizer.decode(ids_, skip_special).size();
}

// The context may begin inside a character, and a byte-fallback decoder spoils the whole run of bytes for it. A
// character has at most three bytes behind its first. A context that ends in U+FFFD for good stays as it is.
void Tokenizer::Stream::drop_broken_character() {
  std::vector<int32_t> rest = ids_;
  for (int dropped = 0; dropped <= 3 && !rest.empty(); ++dropped) {
    if (!tokenizer_->decode(rest, skip_special_).ends_with(kReplacement)) {
      ids_ = std::move(rest);
      return;
    }
    rest.erase(rest.begin());
  }
}

// ids_ holds what was given out last (prefix_ ids, given_ bytes of text), for context, and what waits behind it: how a
// token decodes may depend on its neighbours (a leading space, the bytes of one character).
std::string Tokenizer::Stream::push(int32_t id) {
  ids_.push_back(id);
  const std::string text = tokenizer_->decode(ids_, skip_special_);
  const bool waits = text.ends_with(kReplacement) && ids_.size() - prefix_ < kMaxWaiting;
  return text.size() <= given_ || waits ? "" : finish();
}

std::string Tokenizer::Stream::finish() {
  const std::string before = tokenizer_->decode(std::span(ids_).first(prefix_), skip_special_);
  std::string text = tokenizer_->decode(ids_, skip_special_);
  if (text.starts_with(before)) {
    text.erase(0, before.size());
  } else {  // new bytes spoiled what stood before them, which is out already
    text = tokenizer_->decode(std::span(ids_).subspan(prefix_), skip_special_);
  }
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(prefix_));
  prefix_ = ids_.size();
  given_ = tokenizer_->decode(ids_, skip_special_).size();
  return text;
}

}  // namespace bitloom

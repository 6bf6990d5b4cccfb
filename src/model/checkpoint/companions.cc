#include "model/checkpoint/companions.h"

#include "base/error.h"
#include "model/checkpoint/checkpoint_loader.h"

namespace bitloom {
void set_untied(Json& config) {
  config["tie_word_embeddings"] = false;
  if (config.contains("text_config")) config["text_config"]["tie_word_embeddings"] = false;
}

Companions::Companions(std::string path, Json config, std::shared_ptr<const GgufFile> gguf, const Graph& graph)
    : config_(std::make_shared<const Json>(std::move(config))), place_(std::make_shared<Place>()) {
  place_->path = std::move(path), place_->gguf = std::move(gguf);
  place_->embedding = graph.embedding, place_->embedding_rows = graph.vocab_size;
}

Companions Companions::untied() const {
  Companions result = *this;
  Json config = *config_;
  set_untied(config);
  result.config_ = std::make_shared<const Json>(std::move(config));
  return result;
}

bool Companions::has_tokenizer() const {
  if (place_->gguf) return place_->gguf->has("tokenizer.ggml.model");
  return Tokenizer::is_in(place_->path);
}

const Tokenizer& Companions::tokenizer() const {
  Place& place = *place_;
  const std::lock_guard lock(place.tokenizer_lock);
  if (place.tokenizer) return *place.tokenizer;
  if (place.gguf && !has_tokenizer()) refuse("{}: no tokenizer (expected the key tokenizer.ggml.model)", place.path);
  const Tokenizer loaded = place.gguf ? Tokenizer::from_gguf(*place.gguf) : Tokenizer::load(place.path);
  // Added tokens that a model never learned may lie beyond its rows: gemma3's image tokens, a <pad> of fine-tuning.
  if (loaded.base_vocab_size() > place.embedding_rows) {
    refuse("{}: the tokenizer has {} ids, more than the {} rows of the embedding '{}'", place.path,
           loaded.base_vocab_size(), place.embedding_rows, place.embedding);
  }
  place.tokenizer = std::make_shared<const Tokenizer>(
      loaded.limited_to(place.embedding_rows).with_turn_ending_in(end_of_turn(place.path, place.gguf.get())));
  return *place.tokenizer;
}

std::map<std::string, std::string> Companions::files() const {
  return place_->gguf ? gguf_companions(*place_->gguf) : directory_companions(place_->path);
}

}  // namespace bitloom

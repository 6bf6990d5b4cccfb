#include "tokenize/json/token_model.h"

#include <algorithm>

#include "tokenize/bpe/byte_level.h"

namespace bitloom {
namespace {

struct Row {
  std::string_view type;
  std::unique_ptr<const TokenModel> (*make)(const JsonNode&);
};

constexpr Row kRows[] = {
    {"BPE", make_bpe}, {"Unigram", make_unigram}, {"WordPiece", make_word_piece}, {"WordLevel", make_word_level}};

/// Older files name no type; the package takes the first model whose keys are there.
const Row& untyped(const JsonNode& node) {
  if (node.find("merges")) return kRows[0];
  if (node.at("vocab").value().is_array()) return kRows[1];
  return node.find("max_input_chars_per_word") ? kRows[2] : kRows[3];
}

}  // namespace

void Vocabulary::read(const JsonNode& node) {
  if (!node.value().is_object()) node.reject("is no object of tokens and ids");
  reserve(node.value().size());
  for (const auto& [token, value] : node.value().items())
    add(node, token, JsonNode(value, node.path() + "['" + token + "']", node.origin()).id());
}

void Vocabulary::add(const JsonNode& node, const std::string& token, int32_t id) {
  const auto [entry, fresh] = ids_.emplace(token, id);
  if (!fresh) node.reject(fmt::format("has '{}' twice, at {} and {}", token, entry->second, id));
  const auto [other, free] = tokens_.emplace(id, &entry->first);
  if (!free) node.reject(fmt::format("gives id {} to both '{}' and '{}'", id, *other->second, token));
  largest_id_ = std::max(largest_id_, id);
}

void Vocabulary::add_again(const std::string& token, int32_t id) {
  tokens_.emplace(id, &ids_.insert_or_assign(token, id).first->first);
  largest_id_ = std::max(largest_id_, id);
}

std::optional<int32_t> Vocabulary::find(const std::string& token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

const std::string* Vocabulary::token(int32_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : found->second;
}

void TokenModel::encode(std::string_view piece, bool byte_alphabet, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const {
  if (scratch.cache.find(piece, ids)) return;
  const size_t before = ids.size();
  if (byte_alphabet) {
    encode_text(to_byte_alphabet(piece), scratch, ids);
  } else {
    encode_text(piece, scratch, ids);
  }
  scratch.cache.insert(piece, ids.data() + before, ids.size() - before);
}

int32_t TokenModel::unknown(const std::string& token) const {
  const auto id = vocabulary_.find(token);
  if (!id) fail(ErrorKind::kRefused, "{}: unk_token '{}' is not in the vocabulary", where_, token);
  return *id;
}

std::unique_ptr<const TokenModel> load_model(const JsonNode& node) {
  const Row& row = node.find("type") ? choose_part(kRows, node) : untyped(node);
  return row.make(node);
}

}  // namespace bitloom

#include "model/checkpoint.h"

#include <array>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "io/tensor_view.h"
#include "model/checkpoint_loader.h"
#include "model/config_reader.h"

namespace bitloom {
namespace {

/// Whether the file starts with GGUF's magic.
bool is_gguf(const std::string& path) {
  std::array<char, 4> magic{};
  std::ifstream file(path, std::ios::binary);
  file.read(magic.data(), magic.size());
  return file && std::string_view(magic.data(), magic.size()) == "GGUF";
}

CheckpointParts load(const std::string& path) try {
  const std::filesystem::file_status status = std::filesystem::status(path);
  if (!std::filesystem::exists(status)) refuse("{}: no such file or directory", path);
  if (std::filesystem::is_directory(status)) return load_directory(path);
  if (std::filesystem::is_regular_file(status) && is_gguf(path)) return load_gguf(path);
  refuse("{}: neither a model directory nor a GGUF file", path);
} catch (const std::filesystem::filesystem_error& error) {
  refuse("{}: cannot open: {}", error.path1().string(), error.code().message());
}

constexpr std::array kTokenizerFiles = {"tokenizer.json", "tokenizer.model", "tokenizer.bin"};

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& path) {
  CheckpointParts parts = load(path);
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint);
  checkpoint->path_ = path;
  checkpoint->kind_ = parts.kind;
  checkpoint->config_ = std::move(parts.config);
  checkpoint->graph_ = std::move(parts.graph);
  checkpoint->weight_files_ = std::move(parts.weight_files);
  checkpoint->unused_ = std::move(parts.unused);
  checkpoint->gguf_ = std::move(parts.gguf);
  for (const ExpectedTensor& expected : expected_tensors(checkpoint->graph_)) {
    StoredTensor& stored = parts.tensors.at(expected.name);
    checkpoint->index_[expected.name] = checkpoint->tensors_.size();
    if (stored.out_in) checkpoint->out_in_[expected.name] = std::move(stored.out_in);
    checkpoint->pieces_[expected.name] = std::move(stored.pieces);
    checkpoint->tensors_.push_back({expected.name, std::move(stored.shape), std::move(stored.rows)});
  }
  return checkpoint;
}

const CheckpointTensor& Checkpoint::tensor(const std::string& name) const {
  const auto at = index_.find(name);
  if (at == index_.end()) refuse("{}: no tensor '{}'", path_, name);
  return tensors_[at->second];
}

RowSourcePtr Checkpoint::matrix(const Linear& linear) const {
  const auto at = out_in_.find(linear.weight);
  return at == out_in_.end() ? tensor(linear.weight).rows : at->second;
}

void Checkpoint::release(const std::string& name) const {
  if (is_edited(name)) tensor(name).rows->release();
  const auto at = pieces_.find(name);
  if (at == pieces_.end()) return;
  for (const MappedPiece& piece : at->second) piece.file->release(piece.bytes);
}

std::vector<float> Checkpoint::vector(const std::string& name) const { return tensor(name).rows->decode_all(); }

bool Checkpoint::has_tokenizer() const {
  if (gguf_) return gguf_->has("tokenizer.ggml.model");
  for (const char* file : kTokenizerFiles) {
    if (std::filesystem::exists(std::filesystem::path(path_) / file)) return true;
  }
  return false;
}

const Tokenizer& Checkpoint::tokenizer() const {
  if (base_) return base_->tokenizer();
  const std::lock_guard lock(tokenizer_lock_);
  if (tokenizer_) return *tokenizer_;
  if (!has_tokenizer()) {
    refuse("{}: no tokenizer (expected {})", path_,
           gguf_ ? "the key tokenizer.ggml.model" : "tokenizer.json, tokenizer.model or tokenizer.bin");
  }
  const Tokenizer loaded = gguf_ ? Tokenizer::from_gguf(*gguf_) : Tokenizer::load(path_);
  // Added tokens that a model never learned may lie beyond its rows: gemma3's image tokens, a <pad> of fine-tuning.
  if (loaded.base_vocab_size() > graph_.vocab_size) {
    refuse("{}: the tokenizer has {} ids, more than the {} rows of the embedding '{}'", path_, loaded.base_vocab_size(),
           graph_.vocab_size, graph_.embedding);
  }
  tokenizer_ = std::make_shared<const Tokenizer>(loaded.limited_to(graph_.vocab_size));
  return *tokenizer_;
}

std::map<std::string, std::string> Checkpoint::companion_files() const {
  return gguf_ ? gguf_companions(*gguf_) : directory_companions(path_);
}

std::set<std::string> in_out_weights(const Graph& graph) {
  std::set<std::string> names;
  for (const Site& site : linear_sites(graph)) {
    if (site.linear->stored_in_out) names.insert(site.linear->weight);
  }
  return names;
}

void check_shape(const std::string& file, const std::string& name, const std::vector<int64_t>& found,
                 const std::vector<int64_t>& expected) {
  if (found == expected) return;
  refuse("{}: tensor '{}' has shape {}, expected {}", file, name, shape_text(found), shape_text(expected));
}

void refuse_missing(const std::string& file, const std::string& name, const std::vector<int64_t>& expected) {
  refuse("{}: tensor '{}' is missing, expected with shape {}", file, name, shape_text(expected));
}

void apply_generation_config(Graph& graph, const Json& document, const std::string& origin) {
  const ConfigReader reader(document, origin);
  if (reader.has("eos_token_id")) graph.eos_ids = reader.ids("eos_token_id", {});
}

}  // namespace bitloom

// GGUF files as Hugging Face checkpoints.

#include <algorithm>

#include "base/error.h"
#include "model/architecture.h"
#include "model/checkpoint/checkpoint_loader.h"
#include "model/checkpoint/unused_tensors.h"
#include "model/gguf/gguf_names.h"
#include "model/row_views.h"

namespace bitloom {
namespace {

/// The graph is built under the names a full checkpoint has, whatever the variants.
class CanonicalNames final : public TensorNames {
 public:
  bool has(const std::string& name) const override {
    // gemma3's multimodal prefix, gpt_neox' older head and gpt_oss' MXFP4 experts are variants; every other question is
    // about the usual names.
    return name.find("language_model") == std::string::npos && !name.ends_with("_blocks");
  }
};

/// The rows in the checkpoint's order.
RowSourcePtr restore(const GgufTensor& tensor, const GgufPlace& place) {
  RowSourcePtr rows = gguf_rows(tensor);
  switch (place.layout) {
    case GgufLayout::kPlain:
      return rows;
    case GgufLayout::kTransposed:
      return transposed_rows(std::move(rows));
    case GgufLayout::kPlusOne:
      return affine_rows(std::move(rows), 1.0f, -1.0f);
    case GgufLayout::kPairedRows:
    case GgufLayout::kGroupedRows:
      return tensor.shape.size() == 1 ? permuted_columns(std::move(rows), gguf_row_order(place))
                                      : permuted_rows(std::move(rows), gguf_row_order(place));
  }
  return rows;
}

/// That of one expert in a tensor of all; any other as it is.
GgufTensor part_of(const GgufTensor& tensor, const GgufPlace& place, const ExpectedTensor& expected) {
  if (place.expert < 0) return tensor;
  std::vector<int64_t> all = {place.experts};
  all.insert(all.end(), expected.shape.begin(), expected.shape.end());
  check_shape(tensor.file, tensor.name, tensor.shape, all);
  GgufTensor part = tensor;
  part.shape = expected.shape;
  const size_t size = tensor.bytes.size() / static_cast<size_t>(place.experts);
  part.bytes = tensor.bytes.subspan(static_cast<size_t>(place.expert) * size, size);
  return part;
}

/// A matrix of one row may be stored as a vector.
bool is_row(const GgufTensor& tensor, const std::vector<int64_t>& shape) {
  return shape.size() == 2 && shape[0] == 1 && tensor.shape == std::vector<int64_t>{shape[1]};
}

StoredTensor take(const GgufTensor& found, const GgufPlace& place, const ExpectedTensor& expected) {
  const bool transposed = place.layout == GgufLayout::kTransposed;
  std::vector<int64_t> shape = expected.shape;
  if (transposed) std::reverse(shape.begin(), shape.end());
  const GgufTensor tensor = part_of(found, place, expected);
  if (!is_row(tensor, shape)) check_shape(tensor.file, tensor.name, tensor.shape, shape);
  return {
      expected.shape, restore(tensor, place), transposed ? gguf_rows(tensor) : nullptr, {{tensor.owner, tensor.bytes}}};
}

/// Matrix `index` of a tensor of `count` matrices [rows, cols].
GgufTensor slab(const GgufTensor& tensor, int64_t index, int64_t count, int64_t rows, int64_t cols) {
  GgufPlace place;
  place.expert = index, place.experts = count;
  return part_of(tensor, place, {"", {rows, cols}});
}

/// See GgufPlace::keys.
StoredTensor join(const GgufTensor& keys, const GgufTensor& values, const GgufPlace& place,
                  const ExpectedTensor& expected) {
  const int64_t cols = expected.shape[1], value_rows = expected.shape[0] / place.heads - place.head_dim;
  std::vector<RowSourcePtr> parts;
  for (int64_t head = 0; head < place.heads; ++head) {
    parts.push_back(transposed_rows(gguf_rows(slab(keys, head, place.heads, cols, place.head_dim))));
    parts.push_back(gguf_rows(slab(values, head, place.heads, value_rows, cols)));
  }
  return {expected.shape,
          stacked_rows(std::move(parts)),
          nullptr,
          {{keys.owner, keys.bytes}, {values.owner, values.bytes}}};
}

/// Tensors whose content went into the configuration.
bool is_rope_factor(const std::string& name) {
  return name == "rope_freqs.weight" || name == "rope_factors_short.weight" || name == "rope_factors_long.weight";
}

/// tokenizer.ggml.NAME_token_id, when it is a token of the file.
std::optional<int64_t> token_id(const GgufFile& file, const std::string& name) {
  const std::optional<int64_t> id = file.find_integer("tokenizer.ggml." + name + "_token_id");
  const std::vector<std::string>* tokens = file.find_texts("tokenizer.ggml.tokens");
  if (!id || tokens == nullptr || *id < 0 || *id >= static_cast<int64_t>(tokens->size())) return std::nullopt;
  return id;
}

Json generation_config(const GgufFile& file) {
  Json config = Json::object();
  if (const auto bos = token_id(file, "bos")) config["bos_token_id"] = *bos;
  if (const auto pad = token_id(file, "padding")) config["pad_token_id"] = *pad;
  // Chat models end a turn (eot), a message (eom) and a text (eos) with different tokens.
  Json ends = Json::array();
  for (const char* name : {"eos", "eot", "eom"}) {
    const auto id = token_id(file, name);
    if (id && std::find(ends.begin(), ends.end(), Json(*id)) == ends.end()) ends.push_back(*id);
  }
  if (ends.size() == 1) config["eos_token_id"] = ends[0];
  if (ends.size() > 1) config["eos_token_id"] = ends;
  return config;
}

/// tokenizer.chat_template, and others by name beside it: a text, or a list as transformers writes it; null without.
Json chat_templates(const GgufFile& file) {
  const auto main = file.find_text("tokenizer.chat_template");
  const std::vector<std::string>* names = file.find_texts("tokenizer.chat_templates");
  if (names == nullptr || names->empty()) return main ? Json(*main) : Json();
  Json list = Json::array();
  if (main) list.push_back({{"name", "default"}, {"template", *main}});
  for (const std::string& name : *names) {
    if (main && name == "default") continue;
    list.push_back({{"name", name}, {"template", file.text("tokenizer.chat_template." + name)}});
  }
  return list;
}

/// BPE tokenizers differ in how a text is cut before merges apply; files older than the key do not say how.
std::string remark_on_pre_tokenizer(const GgufFile& file) {
  if (file.find_text("tokenizer.ggml.model").value_or("") != "gpt2" || file.has("tokenizer.ggml.pre")) return "";
  return fmt::format(
      "{}: 'tokenizer.ggml.pre' is missing: texts are cut as by 'default', which may not be what the "
      "model was trained with",
      file.path());
}

}  // namespace

CheckpointParts load_gguf(const std::string& path) {
  auto file = std::make_shared<const GgufFile>(GgufFile::open(path));
  CheckpointParts parts;
  parts.kind = CheckpointKind::kGguf;
  parts.config = config_from_gguf(*file);
  parts.graph = build_graph(parts.config, path, CanonicalNames());
  std::map<std::string, const GgufTensor*> tensors;
  std::set<std::string> files;
  for (const GgufTensor& tensor : file->tensors()) {
    tensors[tensor.name] = &tensor;
    files.insert(tensor.file);
  }
  std::set<std::string> used;
  const auto places = gguf_places(parts.graph, file->text("general.architecture"));
  for (const ExpectedTensor& expected : expected_tensors(parts.graph)) {
    const GgufPlace& place = places.at(expected.name);
    const auto at = tensors.find(place.name);
    const auto keys = tensors.find(place.keys), values = tensors.find(place.values);
    if (at != tensors.end()) {
      parts.tensors[expected.name] = take(*at->second, place, expected);
      used.insert(place.name);
    } else if (!place.keys.empty() && keys != tensors.end() && values != tensors.end()) {
      parts.tensors[expected.name] = join(*keys->second, *values->second, place, expected);
      used.insert({place.keys, place.values});
    } else {
      refuse_missing(path, place.name, expected.shape);
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (!used.contains(name) && !is_rope_factor(name)) parts.unused[name] = tensor->file;
  }
  refuse_qualifying_tensors("its metadata", used, parts.unused);
  if (std::string remark = remark_on_unused(path, parts.unused, parts.graph.tied_head); !remark.empty()) {
    parts.remarks.push_back(std::move(remark));
  }
  if (std::string remark = remark_on_pre_tokenizer(*file); !remark.empty()) parts.remarks.push_back(std::move(remark));
  parts.weight_files = {files.begin(), files.end()};
  apply_generation_config(parts.graph, generation_config(*file), path);
  parts.gguf = std::move(file);
  return parts;
}

Json gguf_tokenizer_config(const GgufFile& file) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const std::vector<std::string>* tokens = file.find_texts("tokenizer.ggml.tokens");
  const std::pair<const char*, const char*> kinds[] = {
      {"bos", "bos_token"}, {"eos", "eos_token"}, {"unknown", "unk_token"}, {"padding", "pad_token"}};
  for (const auto& [kind, key] : kinds) {
    if (const auto id = token_id(file, kind)) config[key] = tokens->at(static_cast<size_t>(*id));
  }
  for (const char* key : {"add_bos_token", "add_eos_token"}) {
    if (const auto flag = file.find_flag(std::string("tokenizer.ggml.") + key)) config[key] = *flag;
  }
  if (Json chat = chat_templates(file); !chat.is_null()) config["chat_template"] = std::move(chat);
  return config;
}

std::map<std::string, std::string> gguf_companions(const GgufFile& file) {
  std::map<std::string, std::string> files;
  files["generation_config.json"] = dump_json(generation_config(file));
  if (!file.has("tokenizer.ggml.model")) return files;
  files["tokenizer.json"] = dump_json(tokenizer_json_from_gguf(file));
  files["tokenizer_config.json"] = dump_json(gguf_tokenizer_config(file));
  return files;
}

}  // namespace bitloom

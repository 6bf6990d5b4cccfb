// Hugging Face directories, and bitloom's, which differ by matrices stored in parts.

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "format/stored_matrix.h"
#include "io/directory/weights_directory.h"
#include "model/architecture.h"
#include "model/checkpoint/checkpoint_loader.h"
#include "model/checkpoint/unused_tensors.h"
#include "model/config_reader.h"
#include "model/row_views.h"
#include "model/tensor_slice.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

/// A matrix of quantization_config.tensors.
struct QuantizedEntry {
  Storage storage;
  std::vector<int64_t> shape;  // [out, in]
};

/// The tensors of a directory under the names of the graph.
class DirectoryTensors final : public TensorNames {
 public:
  DirectoryTensors(const std::string& path, const Json& config, const std::string& origin) : path_(path) {
    for (TensorView& view : open_weights_directory(path, &absent_)) views_.emplace(view.name, std::move(view));
    read_quantized(config, origin);
  }

  bool has(const std::string& name) const override { return views_.contains(name) || quantized_.contains(name); }
  bool any_quantized() const { return is_bitloom_; }
  const TensorView* find(const std::string& name) const {
    const auto at = views_.find(name);
    return at == views_.end() ? nullptr : &at->second;
  }

  /// The tensor for the graph, by its own name or else as the slice; marks what it uses. `slice` may be null.
  StoredTensor take(const ExpectedTensor& expected, bool in_out, const TensorSlice* slice);
  /// Refuses quantized matrices that the graph did not take.
  void check_all_taken(const std::string& origin) const;
  const std::set<std::string>& taken() const { return taken_; }
  std::map<std::string, std::string> unused() const;  // name -> file
  std::vector<std::string> files() const;

 private:
  void read_quantized(const Json& config, const std::string& origin);
  const TensorView& require(const std::string& name, const std::vector<int64_t>& shape);
  static StoredTensor take_dense(const TensorView& view, bool in_out);
  StoredTensor take_slice(const TensorSlice& slice);
  StoredTensor take_quantized(const QuantizedEntry& entry, const ExpectedTensor& expected, bool in_out);

  std::string path_;
  std::map<std::string, TensorView> views_;
  std::map<std::string, std::string> absent_;  // promised by the index -> shard that lacks it
  std::map<std::string, QuantizedEntry> quantized_;
  std::set<std::string> taken_;
  bool is_bitloom_ = false;
};

Storage read_storage(const ConfigReader& entry) {
  try {
    return parse_storage(entry.text("storage"));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage) throw;
    entry.refuse_value("storage", error.what());
  }
}

QuantizedEntry read_entry(const ConfigReader& entry) {
  QuantizedEntry out;
  out.storage = read_storage(entry);
  for (const double extent : entry.numbers("shape")) {
    const bool whole = extent >= 1 && extent <= static_cast<double>(ConfigReader::kMaxCount) &&
                       extent == static_cast<double>(static_cast<int64_t>(extent));
    if (whole) out.shape.push_back(static_cast<int64_t>(extent));
  }
  if (out.shape.size() != 2 || out.shape.size() != entry.numbers("shape").size()) {
    entry.refuse_value("shape", "expected [out, in]");
  }
  return out;
}

void DirectoryTensors::read_quantized(const Json& config, const std::string& origin) {
  const Json section = ConfigReader(config, origin).object("quantization_config");
  const ConfigReader reader(section, origin, "quantization_config.");
  if (reader.text("quant_method", "none") != "bitloom") return;
  is_bitloom_ = true;
  if (reader.count("version") != kLayoutVersion)
    reader.refuse_value("version", fmt::format("supported: {}", kLayoutVersion));
  const Json tensors = reader.object("tensors");
  for (const auto& [name, value] : tensors.items()) {
    quantized_[name] = read_entry(ConfigReader(value, origin, "quantization_config.tensors." + name + "."));
  }
}

StoredTensor DirectoryTensors::take(const ExpectedTensor& expected, bool in_out, const TensorSlice* slice) {
  if (const auto at = quantized_.find(expected.name); at != quantized_.end()) {
    return take_quantized(at->second, expected, in_out);
  }
  if (slice != nullptr && find(expected.name) == nullptr) return take_slice(*slice);
  return take_dense(require(expected.name, expected.shape), in_out);
}

/// The tensor of that name and shape, taken.
const TensorView& DirectoryTensors::require(const std::string& name, const std::vector<int64_t>& shape) {
  const TensorView* view = find(name);
  if (view == nullptr) {
    const auto shard = absent_.find(name);
    refuse_missing(shard == absent_.end() ? path_ : shard->second, name, shape);
  }
  check_shape(view->file, name, view->shape, shape);
  taken_.insert(name);
  return *view;
}

void check_dtype(const TensorView& view, bool fits, const char* expected) {
  if (fits) return;
  refuse("{}: tensor '{}' has dtype {}, expected {}", view.file, view.name, info(view.dtype).name, expected);
}

void add_piece(StoredTensor& tensor, const TensorView& view, std::span<const std::byte> bytes) {
  if (view.mapping) tensor.pieces.push_back({view.mapping, bytes});
}

StoredTensor DirectoryTensors::take_dense(const TensorView& view, bool in_out) {
  check_dtype(view, info(view.dtype).is_float, "a floating-point type");
  StoredTensor tensor{view.shape, dense_rows(view), in_out ? transposed_rows(view) : nullptr};
  add_piece(tensor, view, view.bytes);
  return tensor;
}

StoredTensor DirectoryTensors::take_slice(const TensorSlice& slice) {
  const TensorView& view = require(slice.tensor, stored_shape(slice));
  StoredTensor tensor{shape_of(slice), nullptr, nullptr};
  add_piece(tensor, view, expert_bytes(slice, view));
  if (slice.scales.empty()) {
    check_dtype(view, info(view.dtype).is_float, "a floating-point type");
    tensor.rows = sliced_rows(slice, view, nullptr);
    return tensor;
  }
  const TensorView& scales = require(slice.scales, scales_shape(slice));
  for (const TensorView* of : {&view, &scales}) check_dtype(*of, of->dtype == DType::kU8, "U8");
  add_piece(tensor, scales, expert_bytes(slice, scales));
  tensor.rows = sliced_rows(slice, view, &scales);
  return tensor;
}

StoredTensor DirectoryTensors::take_quantized(const QuantizedEntry& entry, const ExpectedTensor& expected,
                                              bool in_out) {
  std::vector<int64_t> shape = expected.shape;
  if (in_out) std::reverse(shape.begin(), shape.end());
  check_shape(path_ + "/config.json: quantization_config.tensors", expected.name, entry.shape, shape);
  const int64_t rows = shape[0], cols = shape[1];
  // Sizes of the parts must not overflow; no file holds this much.
  if (rows > (int64_t{1} << 48) / cols) {
    refuse("{}: tensor '{}' has shape {}, which is too large", path_, expected.name, shape_text(shape));
  }
  std::vector<TensorPart> parts;
  std::vector<std::shared_ptr<const void>> owners;
  std::vector<MappedPiece> pieces;
  for (const TensorPart& announced : greatest_parts(entry.storage, rows, cols)) {
    const TensorView* view = find(expected.name + announced.suffix);
    if (view == nullptr) refuse_missing(path_, expected.name + announced.suffix, announced.shape);
    parts.push_back({announced.suffix, view->dtype, view->shape, view->bytes});
    owners.push_back(view->owner);
    if (view->mapping) pieces.push_back({view->mapping, view->bytes});
    taken_.insert(view->name);
  }
  taken_.insert(expected.name);
  auto owner = std::make_shared<const std::vector<std::shared_ptr<const void>>>(std::move(owners));
  return {shape, StoredMatrix::from_parts(path_ + ": " + expected.name, entry.storage, rows, cols, parts, owner),
          nullptr, std::move(pieces)};
}

void DirectoryTensors::check_all_taken(const std::string& origin) const {
  for (const auto& [name, entry] : quantized_) {
    if (taken_.contains(name)) continue;
    refuse("{}: quantization_config.tensors has '{}', which is no matrix of this model", origin, name);
  }
}

std::map<std::string, std::string> DirectoryTensors::unused() const {
  std::map<std::string, std::string> files;
  for (const auto& [name, view] : views_) {
    if (!taken_.contains(name)) files[name] = view.file;
  }
  return files;
}

std::vector<std::string> DirectoryTensors::files() const {
  std::set<std::string> files;
  for (const auto& [name, view] : views_) files.insert(view.file);
  return {files.begin(), files.end()};
}

/// Where activations can be rounded, by the places' names, and to what they are.
struct RoundedPlace {
  std::optional<ActivationFormat>* format;
  std::optional<Operand> operand;
  int64_t width = 0;  // channels of an input
};

std::map<std::string, RoundedPlace> rounded_places(Graph& graph) {
  std::map<std::string, RoundedPlace> places;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    Block& block = graph.blocks[static_cast<size_t>(b)];
    for (size_t i = 0; i < block.inputs.size(); ++i) {
      places[input_place(graph, b, static_cast<int>(i))] = {&block.inputs[i].activations, {}, block.inputs[i].width};
    }
    for (const Operand operand : kOperands) {
      places[operand_place(b, operand)] = {&block.attention.operands[static_cast<size_t>(operand)], operand};
    }
  }
  return places;
}

/// quantization_config.activations: {"blocks.3.mlp": "int8-token"}, by the places of inputs and operands.
void read_activations(const Json& config, const std::string& origin, Graph& graph) {
  const Json section = ConfigReader(config, origin).object("quantization_config");
  if (section.value("quant_method", Json()) != "bitloom" || !section.contains("activations")) return;
  const Json activations = ConfigReader(section, origin, "quantization_config.").object("activations");
  const ConfigReader reader(activations, origin, "quantization_config.activations.");
  const std::map<std::string, RoundedPlace> places = rounded_places(graph);
  for (const auto& [place, value] : activations.items()) {
    const auto found = places.find(place);
    if (found == places.end()) {
      refuse("{}: quantization_config.activations has '{}', which is no input of this model; they are named as '{}'",
             origin, place, places.empty() ? "" : places.begin()->first);
    }
    try {
      const ActivationFormat format = parse_activation_format(reader.text(place));
      if (format.range.is_calibrated()) {
        misuse("\"{}\": a model says which range its activations have (-at), not how to find it", to_string(format));
      }
      const RoundedPlace& place_of = found->second;
      if (place_of.operand) {
        if (const std::string reason = bad_operand_format(*place_of.operand, format); !reason.empty()) {
          misuse("{}", reason);
        }
      }
      const auto shifts = static_cast<int64_t>(format.shifts.size());
      if (format.shifted && shifts != place_of.width) {
        misuse("{} shifts, and the input has {} channels", shifts, place_of.width);
      }
      if (const std::string reason = bad_moves(format.moves, place_of.width); !reason.empty()) misuse("{}", reason);
      *place_of.format = format;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUsage) throw;
      reader.refuse_value(place, error.what());
    }
  }
}

/// Whether both hold the same values; equal ones of another dtype are the same.
bool same_values(const TensorView& a, const TensorView& b) {
  if (a.shape != b.shape || !info(a.dtype).is_float || !info(b.dtype).is_float) return false;
  if (a.dtype == b.dtype) return std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0;
  const RowSourcePtr left = dense_rows(a), right = dense_rows(b);
  const auto cols = static_cast<size_t>(left->cols());
  std::vector<float> x(cols), y(cols);
  for (int64_t row = 0; row < left->rows(); ++row) {
    left->decode_rows(row, row + 1, x.data());
    right->decode_rows(row, row + 1, y.data());
    if (std::memcmp(x.data(), y.data(), cols * sizeof(float)) != 0) return false;
  }
  return true;
}

/// Some files carry the head beside the embedding it is tied to. One that differs, if only in the rows of tokens that
/// were trained later, is a head of its own whatever tie_word_embeddings says, as in transformers.
void untie_head_of_its_own(const DirectoryTensors& tensors, const std::string& origin, CheckpointParts& parts) {
  if (!parts.graph.tied_head) return;
  Json config = parts.config;
  set_untied(config);
  Graph untied = build_graph(config, origin, tensors);
  const TensorView* embedding = tensors.find(parts.graph.embedding);
  const TensorView* head = tensors.find(untied.head.weight);
  if (head == nullptr || (embedding != nullptr && same_values(*embedding, *head))) return;
  parts.remarks.push_back(
      fmt::format("{}: tensor '{}' differs from '{}', to which tie_word_embeddings ties it: both are kept", head->file,
                  head->name, parts.graph.embedding));
  parts.config = std::move(config);
  parts.graph = std::move(untied);
}

constexpr std::array kCompanions = {"tokenizer.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "generation_config.json",
                                    "tokenizer.model",
                                    "tokenizer.bin",
                                    "vocab.json",
                                    "merges.txt",
                                    "tekken.json",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "LICENSE",
                                    "LICENSE.txt",
                                    "NOTICE"};

bool sees_both_sides(const Graph& graph) {
  return std::any_of(graph.blocks.begin(), graph.blocks.end(),
                     [](const Block& block) { return block.attention.mask == Mask::kBidirectional; });
}

}  // namespace

CheckpointParts load_directory(const std::string& path) {
  const std::string origin = (fs::path(path) / "config.json").string();
  if (!fs::exists(origin)) {
    refuse("{}: no config.json; expected a model directory with config.json and weights", path);
  }
  CheckpointParts parts;
  parts.config = read_json(origin);
  ConfigReader(parts.config, origin).text("model_type");
  DirectoryTensors tensors(path, parts.config, origin);
  parts.graph = build_graph(parts.config, origin, tensors);
  untie_head_of_its_own(tensors, origin, parts);
  read_activations(parts.config, origin, parts.graph);
  parts.kind = tensors.any_quantized() ? CheckpointKind::kBitloom : CheckpointKind::kHuggingFace;
  const std::set<std::string> in_out = in_out_weights(parts.graph);
  for (const ExpectedTensor& expected : expected_tensors(parts.graph)) {
    const auto slice = parts.graph.slices.find(expected.name);
    parts.tensors[expected.name] = tensors.take(expected, in_out.contains(expected.name),
                                                slice == parts.graph.slices.end() ? nullptr : &slice->second);
  }
  tensors.check_all_taken(origin);
  parts.unused = tensors.unused();
  refuse_qualifying_tensors(origin, tensors.taken(), parts.unused);
  if (std::string remark = remark_on_unused(path, parts.unused, parts.graph.tied_head); !remark.empty()) {
    parts.remarks.push_back(std::move(remark));
  }
  if (sees_both_sides(parts.graph)) {
    parts.remarks.push_back(fmt::format(
        "{}: attention sees the tokens that are predicted, so that perplexity says little of this model", path));
  }
  parts.weight_files = tensors.files();
  const std::string generation = (fs::path(path) / "generation_config.json").string();
  if (fs::exists(generation)) apply_generation_config(parts.graph, read_json(generation), generation);
  return parts;
}

std::map<std::string, std::string> directory_companions(const std::string& path) {
  std::map<std::string, std::string> files;
  for (const char* name : kCompanions) {
    const fs::path file = fs::path(path) / name;
    if (fs::is_regular_file(file)) files[name] = read_text(file.string());
  }
  return files;
}

}  // namespace bitloom

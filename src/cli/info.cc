#include <fmt/format.h>

#include <map>

#include "cli/common_flags.h"
#include "cli/verb.h"
#include "io/tensor_view.h"
#include "judge/model_figures.h"
#include "judge/size_estimate.h"
#include "model/checkpoint.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model;
  bool tensors = false;
};

int64_t elements_of(const CheckpointTensor& tensor) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) count *= size;
  return count;
}

double bits_per_weight(int64_t bytes, int64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

std::string kind_text(const Checkpoint& model) {
  switch (model.kind()) {
    case CheckpointKind::kHuggingFace:
      return "Hugging Face directory";
    case CheckpointKind::kBitloom:
      return "bitloom directory";
    case CheckpointKind::kGguf:
      return "GGUF file";
  }
  return "";
}

// "model.layers.3.mlp.up_proj.weight" -> "model.layers.*.mlp.up_proj.weight": the same tensor of every block.
std::string without_numbers(const std::string& name) {
  std::string out;
  for (size_t start = 0; start <= name.size();) {
    const size_t end = std::min(name.find('.', start), name.size());
    const std::string part = name.substr(start, end - start);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    out += (start == 0 ? "" : ".") + (number ? "*" : part);
    start = end + 1;
  }
  return out;
}

struct TensorGroup {
  std::string name, shape, storage;
  int64_t count = 0, weights = 0, bytes = 0;
};

// Tensors in the order of the file; with `summarise`, those that differ only in their block's number together.
std::vector<TensorGroup> tensor_groups(const Checkpoint& model, bool summarise) {
  std::vector<TensorGroup> groups;
  std::map<std::string, size_t> places;
  for (const CheckpointTensor& tensor : model.tensors()) {
    const std::string name = summarise ? without_numbers(tensor.name) : tensor.name;
    const std::string shape = shape_text(tensor.shape), storage = tensor.rows->storage();
    const auto [place, is_new] = places.emplace(name + "\n" + shape + "\n" + storage, groups.size());
    if (is_new) groups.push_back({name, shape, storage});
    TensorGroup& group = groups[place->second];
    group.count += 1;
    group.weights += elements_of(tensor);
    group.bytes += tensor.rows->stored_bytes();
  }
  return groups;
}

std::string tensors_table(const Checkpoint& model, bool summarise, bool bold) {
  Table table({{"tensor", Align::kLeft}, {"count"}, {"shape"}, {"storage", Align::kLeft}, {"bits"}, {"MiB"}});
  for (const TensorGroup& group : tensor_groups(model, summarise))
    table.add({visible_text(group.name), fmt::format("{}", group.count), group.shape, group.storage,
               format_bits(bits_per_weight(group.bytes, group.weights)), format_mib(group.bytes)});
  return table.to_text(bold);
}

std::string sizes_table(const std::vector<SizeEstimate>& estimates, bool bold) {
  Table table({{"if quantized to", Align::kLeft}, {"bits nominal"}, {"bits true"}, {"MiB"}});
  for (const SizeEstimate& estimate : estimates)
    table.add({estimate.scheme, format_bits(estimate.bits_nominal), format_bits(estimate.bits_true),
               format_mib(estimate.model_bytes)});
  return table.to_text(bold);
}

struct Totals {
  int64_t parameters = 0, bytes = 0;
};

Totals totals_of(const Checkpoint& model) {
  Totals totals;
  for (const CheckpointTensor& tensor : model.tensors()) {
    totals.parameters += elements_of(tensor);
    totals.bytes += tensor.rows->stored_bytes();
  }
  return totals;
}

Json record_of(const Checkpoint& model, const std::vector<SizeEstimate>& estimates, const Json& manifest) {
  const Graph& graph = model.graph();
  const Totals totals = totals_of(model);
  const ModelSize size = size_of(model);
  Json record = {{"model", model.path()},
                 {"kind", kind_text(model)},
                 {"architecture", graph.architecture},
                 {"parameters", totals.parameters},
                 {"bytes", totals.bytes},
                 {"bits_true", bits_per_weight(totals.bytes, totals.parameters)},
                 {"matrix_bits", size.bits_true},
                 {"file_bytes", size.bytes},
                 {"context", graph.max_positions},
                 {"vocabulary", graph.vocab_size},
                 {"blocks", graph.blocks.size()},
                 {"hidden", graph.hidden},
                 {"tied_head", graph.tied_head},
                 {"tokenizer", model.has_tokenizer() ? Json(model.tokenizer().describe()) : Json()},
                 {"tensors", Json::array()},
                 {"formats", Json::array()}};
  for (const CheckpointTensor& tensor : model.tensors())
    record["tensors"].push_back({{"name", tensor.name},
                                 {"shape", tensor.shape},
                                 {"storage", tensor.rows->storage()},
                                 {"bytes", tensor.rows->stored_bytes()},
                                 {"bits", bits_per_weight(tensor.rows->stored_bytes(), elements_of(tensor))}});
  for (const SizeEstimate& estimate : estimates)
    record["formats"].push_back({{"name", estimate.scheme},
                                 {"bits_nominal", estimate.bits_nominal},
                                 {"bits_true", estimate.bits_true},
                                 {"bytes", estimate.model_bytes}});
  if (!manifest.is_null()) record["manifest"] = manifest;
  return record;
}

// Strings and numbers of the manifest's first two levels; the rest is for programs.
Facts manifest_facts(const Json& manifest) {
  Facts facts;
  for (const auto& [key, value] : manifest.items()) {
    if (value.is_primitive()) facts.push_back({key, value.is_string() ? value.get<std::string>() : value.dump()});
    if (!value.is_object()) continue;
    for (const auto& [inner, leaf] : value.items())
      if (leaf.is_primitive())
        facts.push_back({key + "." + inner, leaf.is_string() ? leaf.get<std::string>() : leaf.dump()});
  }
  return facts;
}

Facts model_facts(const Checkpoint& model) {
  const Graph& graph = model.graph();
  const Totals totals = totals_of(model);
  const Attention attention = graph.blocks.empty() ? Attention() : graph.blocks[0].attention;
  return {{"model", fmt::format("{} ({})", model.path(), kind_text(model))},
          {"architecture", graph.architecture},
          {"parameters", format_count(totals.parameters)},
          {"size", fmt::format("{} MiB, {} bits per weight", format_mib(totals.bytes),
                               format_bits(bits_per_weight(totals.bytes, totals.parameters)))},
          {"shape", fmt::format("{} blocks, width {}, {} heads ({} for keys and values), {} head", graph.blocks.size(),
                                graph.hidden, attention.heads, attention.kv_heads, graph.tied_head ? "tied" : "own")},
          {"context", fmt::format("{} tokens", graph.max_positions)},
          {"vocabulary", fmt::format("{} tokens", graph.vocab_size)},
          {"tokenizer", model.has_tokenizer() ? model.tokenizer().describe() : "none"}};
}

void show_info(const Flags& flags, Session& session) {
  const auto model = Checkpoint::open(flags.model);
  const std::vector<SizeEstimate> estimates = estimate_sizes(*model, session.context());
  const Json manifest = manifest_of(*model);
  std::string text = facts_text(model_facts(*model)) + "\n" + tensors_table(*model, !flags.tensors, session.bold()) +
                     "\n" + sizes_table(estimates, session.bold()) +
                     "bits: of the matrices of the blocks; the rest stays\n";
  if (!manifest.is_null()) text += "\nbitloom.json\n" + facts_text(manifest_facts(manifest));
  session.show(record_of(*model, estimates, manifest), text);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_flag("--tensors", flags->tensors, "list every tensor, not one line for all blocks");
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { show_info(*flags, session); };
}

}  // namespace

Verb info_verb() {
  return {"info",
          "what a model is made of, and what each format would weigh",
          "MODEL [flags]",
          {"bitloom info assets/demo", "bitloom info model.gguf --tensors"},
          setup};
}

}  // namespace bitloom

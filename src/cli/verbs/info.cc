#include <fmt/format.h>

#include <map>

#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "judge/model_figures.h"
#include "judge/size_estimate.h"
#include "judge/tensor_list.h"
#include "model/checkpoint/checkpoint.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model;
  bool tensors = false;
};

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

std::string tensors_table(const Checkpoint& model, bool summarise, bool bold) {
  Table table({{"tensor", Align::kLeft}, {"count"}, {"shape"}, {"storage", Align::kLeft}, {"bits"}, {"MiB"}});
  for (const TensorGroup& group : tensor_groups(model, summarise))
    table.add({visible_text(group.name), fmt::format("{}", group.count), group.shape, group.storage,
               format_bits(group.bits()), format_mib(group.bytes)});
  return table.to_text(bold);
}

std::string sizes_table(const std::vector<SizeEstimate>& estimates, bool bold) {
  Table table({{"if quantized to", Align::kLeft}, {"bits nominal"}, {"bits true"}, {"model bits"}, {"MiB"}});
  for (const SizeEstimate& estimate : estimates)
    table.add({estimate.scheme, format_bits(estimate.bits_nominal), format_bits(estimate.bits_true),
               format_bits(estimate.bits_model), format_mib(estimate.model_bytes)});
  return table.to_text(bold);
}

Json record_of(const Checkpoint& model, const std::vector<SizeEstimate>& estimates, const Json& manifest) {
  const Graph& graph = model.graph();
  const TensorGroup all = all_tensors(model);
  const ModelSize size = size_of(model);
  Json record = {{"model", model.path()},
                 {"kind", kind_text(model)},
                 {"architecture", graph.architecture},
                 {"parameters", all.weights},
                 {"bytes", all.bytes},
                 {"bits_true", all.bits()},
                 {"matrix_bits", size.bits_true},
                 {"bits_model", size.bits_model},
                 {"file_bytes", size.bytes},
                 {"context", graph.max_positions},
                 {"vocabulary", graph.vocab_size},
                 {"blocks", graph.blocks.size()},
                 {"hidden", graph.hidden},
                 {"tied_head", graph.tied_head},
                 {"tokenizer", model.has_tokenizer() ? Json(model.tokenizer().describe()) : Json()},
                 {"tensors", Json::array()},
                 {"formats", Json::array()}};
  const std::vector<TensorGroup> tensors = tensor_groups(model, false);  // one for each
  const std::vector<CheckpointTensor> in_order = model.tensors();
  for (size_t i = 0; i < tensors.size(); ++i)
    record["tensors"].push_back({{"name", tensors[i].name},
                                 {"shape", in_order[i].shape},
                                 {"storage", tensors[i].storage},
                                 {"bytes", tensors[i].bytes},
                                 {"bits", tensors[i].bits()}});
  for (const SizeEstimate& estimate : estimates)
    record["formats"].push_back({{"name", estimate.scheme},
                                 {"bits_nominal", estimate.bits_nominal},
                                 {"bits_true", estimate.bits_true},
                                 {"bits_model", estimate.bits_model},
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

/// "int8-token at 24 of 24 inputs"; "" where none is rounded.
std::string activations_text(const Graph& graph) {
  std::map<std::string, int> formats;
  int inputs = 0;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    for (int input = 0; input < input_count(graph, b); ++input, ++inputs) {
      if (const auto& format = input_at(graph, b, input).activations) ++formats[kind_text(*format)];
    }
  }
  std::string text;
  for (const auto& [format, count] : formats)
    text += fmt::format("{}{} at {}", text.empty() ? "" : ", ", format, count);
  return text.empty() ? "" : fmt::format("{} of {} inputs of the blocks", text, inputs);
}

/// "keys int4-asym-token at 24, values int4-asym-token at 24 of 24 blocks"; "" where none is rounded.
std::string operands_text(const Graph& graph) {
  std::map<std::string, int> formats;
  for (const Block& block : graph.blocks) {
    for (const Operand operand : kOperands) {
      const auto& format = block.attention.format_of(operand);
      if (format) ++formats[fmt::format("{} {}", name_of(operand), to_string(*format))];
    }
  }
  std::string text;
  for (const auto& [format, count] : formats)
    text += fmt::format("{}{} at {}", text.empty() ? "" : ", ", format, count);
  return text.empty() ? "" : fmt::format("{} of {} blocks", text, graph.blocks.size());
}

Facts model_facts(const Checkpoint& model) {
  const Graph& graph = model.graph();
  const TensorGroup all = all_tensors(model);
  const Attention attention = graph.blocks.empty() ? Attention() : graph.blocks[0].attention;
  Facts facts = {
      {"model", fmt::format("{} ({})", model.path(), kind_text(model))},
      {"architecture", graph.architecture},
      {"parameters", format_count(all.weights)},
      {"size", fmt::format("{} MiB, {} bits per weight", format_mib(all.bytes), format_bits(all.bits()))},
      {"shape", fmt::format("{} blocks, width {}, {} heads ({} for keys and values), {} head", graph.blocks.size(),
                            graph.hidden, attention.heads, attention.kv_heads, graph.tied_head ? "tied" : "own")},
      {"context", fmt::format("{} tokens", graph.max_positions)},
      {"vocabulary", fmt::format("{} tokens", graph.vocab_size)},
      {"tokenizer", model.has_tokenizer() ? model.tokenizer().describe() : "none"}};
  if (const std::string text = activations_text(graph); !text.empty()) facts.push_back({"activations", text});
  if (const std::string text = operands_text(graph); !text.empty()) facts.push_back({"attention", text});
  return facts;
}

void show_info(const Flags& flags, Session& session) {
  const auto model = Checkpoint::open(flags.model, session.warner());
  const std::vector<SizeEstimate> estimates = estimate_sizes(*model, session.context());
  const Json manifest = manifest_of(*model);
  std::string text =
      facts_text(model_facts(*model)) + "\n" + tensors_table(*model, !flags.tensors, session.bold()) + "\n" +
      sizes_table(estimates, session.bold()) +
      "bits nominal and true: of the matrices of the blocks; model bits and MiB: with the rest, which stays\n";
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

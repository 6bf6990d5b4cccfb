#include "tune/adapter/begin_adapter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/rng.h"
#include "base/text/text.h"
#include "export/module_names.h"
#include "tune/learned/parametrisation.h"

namespace bitloom {
namespace {

constexpr uint64_t kFactorStream = 0x6C6F726141;  // "loraA"; of module i in the order of names, + i

/// Every target must mean a module.
void check_targets(const Graph& graph, const std::vector<std::string>& targets) {
  std::set<std::string> names;
  for (const auto& [tensor, linear] : block_linears(graph)) {
    const std::string module = module_of(tensor);
    names.insert(module.substr(module.rfind('.') + 1));
  }
  for (const std::string& target : targets) {
    const auto means = [&](const auto& of) { return is_target({target}, module_of(of.first)); };
    const std::map<std::string, const Linear*> linears = block_linears(graph);
    if (std::any_of(linears.begin(), linears.end(), means)) continue;
    const std::vector<std::string> known(names.begin(), names.end());
    misuse("--targets '{}'{} is no linear layer of the blocks; there are: {}", target, did_you_mean(target, known),
           fmt::join(known, ", "));
  }
}

/// What weighs experts, and has a few outputs at most: left out where no targets are named.
constexpr std::string_view kGates[] = {"router", "shared_expert_gate"};

bool is_wanted(const Linear& linear, const std::string& module, const std::vector<std::string>& targets) {
  if (!targets.empty()) return is_target(targets, module);
  return std::find(std::begin(kGates), std::end(kGates), linear.role) == std::end(kGates);
}

std::vector<float> lengths_of_rows(const RowSource& w, ThreadPool& threads) {
  const int64_t rows = w.rows(), cols = w.cols(), piece = piece_of(w), wave = rows_of_wave(piece);
  std::vector<float> lengths(static_cast<size_t>(rows)), values(static_cast<size_t>(std::min(wave, rows) * cols));
  for (int64_t begin = 0; begin < rows; begin += wave) {
    const int64_t end = std::min(rows, begin + wave);
    decode_pieces(w, begin, end, piece, values.data(), threads);
    threads.parallel_for(end - begin, [&](int64_t r) {
      double square = 0;
      for (const float value : std::span(values).subspan(static_cast<size_t>(r * cols), static_cast<size_t>(cols))) {
        square += static_cast<double>(value) * static_cast<double>(value);
      }
      lengths[static_cast<size_t>(begin + r)] = static_cast<float>(std::sqrt(square));
    });
  }
  return lengths;
}

AdapterModule begin_module(const Linear& linear, const NewAdapter& options, uint64_t stream) {
  AdapterModule module;
  module.rank = options.rank, module.in = linear.in, module.out = linear.out;
  module.scale = options.alpha > 0 ? options.alpha / static_cast<double>(options.rank) : 1;
  module.b.resize(static_cast<size_t>(linear.out * options.rank));
  module.a.resize(static_cast<size_t>(options.rank * linear.in));
  const double bound = 1 / std::sqrt(static_cast<double>(linear.in));
  Rng rng(options.seed, stream);
  for (float& value : module.a) value = static_cast<float>(bound * (2 * rng.uniform_double() - 1));
  return module;
}

}  // namespace

PeftAdapter begin_adapter(const Model& model, const NewAdapter& options, ThreadPool& threads) {
  const Graph& graph = model.graph();
  check_names_for_peft(graph, model.path());
  check_targets(graph, options.targets);
  if (options.rank < 1) misuse("--rank {}: must be at least 1", options.rank);
  PeftAdapter adapter;
  uint64_t stream = kFactorStream;
  for (const auto& [tensor, linear] : block_linears(graph)) {
    const std::string module = module_of(tensor);
    if (!is_wanted(*linear, module, options.targets)) continue;
    if (const auto slice = graph.slices.find(tensor); slice != graph.slices.end()) {
      misuse(
          "experts lie together in '{}', so '{}' is no module that an adapter could be on; name others with --targets",
          slice->second.tensor, module);
    }
    if (options.rank > std::min(linear->in, linear->out)) {
      misuse("--rank {} is above the lesser side of '{}', which is {} x {}", options.rank, module, linear->out,
             linear->in);
    }
    AdapterModule begun = begin_module(*linear, options, stream++);
    if (options.dora) begun.magnitude = lengths_of_rows(*model.matrix(*linear), threads);
    adapter.modules.emplace(module, std::move(begun));
  }
  return adapter;
}

}  // namespace bitloom

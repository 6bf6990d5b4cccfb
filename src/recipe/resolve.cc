#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/text/text.h"
#include "recipe/check.h"
#include "recipe/recipe.h"

namespace bitloom {
namespace {

/// A matrix under one of its roles. A tied head is a second candidate with the embedding's tensor.
struct Candidate {
  std::string tensor, role;
  std::string input;  // empty outside the blocks, like the next two
  std::string place, place_from_end;
  std::optional<size_t> step;  // the last one that matched
  bool kept = false;           // unless a step names it: a router, the gate of a shared expert

  bool in_blocks() const { return !place.empty(); }
  /// "gate" of "experts.3.gate".
  std::string kind() const { return role.substr(role.rfind('.') + 1); }
  /// "mlp_down" of "experts.3.mlp_down".
  std::string kind_of_input() const { return input.substr(input.rfind('.') + 1); }
  bool goes_by(std::string_view pattern) const {
    if (kept) return pattern == tensor || pattern == role || pattern == place || pattern == place_from_end;
    const auto matches = [pattern](const std::string& name) { return glob_match(pattern, name); };
    if (matches(tensor) || matches(role) || matches(kind())) return true;
    return in_blocks() && (matches(input) || matches(kind_of_input()) || matches(place) || matches(place_from_end));
  }
};

/// Routers and the gates of shared experts stay unless a step names them.
bool stays(const Graph& graph, const Site& site) {
  const Experts& experts = graph.blocks[static_cast<size_t>(site.block)].experts;
  return site.linear_index == experts.router || site.linear_index == experts.shared_gate;
}

std::vector<Candidate> candidates_of(const Graph& graph) {
  std::vector<Candidate> result;
  const auto count = static_cast<int64_t>(graph.blocks.size());
  for (const Site& site : linear_sites(graph)) {
    const std::string& role = site.linear->role;
    result.push_back({site.linear->weight,
                      role,
                      site.reads->name,
                      fmt::format("blocks.{}.{}", site.block, role),
                      fmt::format("blocks.{}.{}", site.block - count, role),
                      {},
                      stays(graph, site)});
  }
  const auto outside = [&result](const std::string& tensor, const char* role) {
    if (!tensor.empty()) result.push_back({tensor, role, "", "", "", {}});
  };
  outside(graph.embedding, "embedding");
  outside(graph.tied_head ? graph.embedding : graph.head.weight, "head");
  outside(graph.project_in.weight, "project_in");
  outside(graph.project_out.weight, "project_out");
  return result;
}

/// Gives `step` to what the pattern matches; false when that is nothing. Sites of the blocks come first: a pattern that
/// matches one of them says nothing about the embedding.
bool apply(std::string_view pattern, size_t step, std::vector<Candidate>& candidates) {
  for (const bool in_blocks : {true, false}) {
    bool hit = false;
    for (Candidate& c : candidates) {
      if (c.in_blocks() != in_blocks || !c.goes_by(pattern)) continue;
      c.step = step;
      hit = true;
    }
    if (hit) return true;
  }
  return false;
}

/// "*.down_proj.weight" of "model.layers.0.mlp.down_proj.weight": how a pattern for all blocks is usually written.
std::string tail_pattern(const std::string& tensor) {
  const std::vector<std::string> parts = split(tensor, '.');
  if (parts.size() < 3) return tensor;
  return fmt::format("*.{}.{}", parts[parts.size() - 2], parts.back());
}

[[noreturn]] void reject_pattern(const std::string& pattern, size_t step, const Recipe& recipe, const Graph& graph,
                                 const std::vector<Candidate>& candidates) {
  for (const ExpectedTensor& tensor : expected_tensors(graph)) {
    if (!glob_match(pattern, tensor.name)) continue;
    misuse("recipe '{}', step {}: the pattern '{}' matches only tensors that are never quantized, such as '{}'",
           recipe.name, step + 1, pattern, tensor.name);
  }
  std::vector<std::string> roles, names;
  for (const Candidate& c : candidates) {
    if (std::find(roles.begin(), roles.end(), c.kind()) == roles.end()) {
      roles.push_back(c.kind());
      names.push_back(c.kind());
      names.push_back(c.in_blocks() ? tail_pattern(c.tensor) : c.tensor);
    }
    names.insert(names.end(), {c.tensor, c.input, c.place, c.place_from_end});
  }
  misuse(
      "recipe '{}', step {}: the pattern '{}' matches no matrix of this {} model{}; it has the roles {} and tensors "
      "such as "
      "'{}'",
      recipe.name, step + 1, pattern, graph.architecture, did_you_mean(pattern, names), fmt::join(roles, ", "),
      candidates.front().tensor);
}

std::string wish_of(const RecipeStep& step) { return step.quantize ? to_short(step) : "keep"; }

/// The shared matrix of a tied head takes the one step that either role was given. Two different ones are a
/// contradiction, not an override: who wrote them had two matrices in mind.
void join_tied_head(const Recipe& recipe, std::vector<Candidate>& candidates) {
  const auto by_role = [&candidates](const char* role) {
    return std::find_if(candidates.begin(), candidates.end(), [role](const Candidate& c) { return c.role == role; });
  };
  const auto embedding = by_role("embedding"), head = by_role("head");
  if (embedding->step && head->step) {
    const std::string first = wish_of(recipe.steps[*embedding->step]), second = wish_of(recipe.steps[*head->step]);
    if (first != second) {
      misuse(
          "recipe '{}' asks {} of the embedding (step {}) and {} of the head (step {}), but the head of this model is "
          "tied: "
          "both are the one matrix '{}'",
          recipe.name, first, *embedding->step + 1, second, *head->step + 1, embedding->tensor);
    }
  }
  if (!embedding->step) embedding->step = head->step;
  candidates.erase(head);
}

/// Statistics are of activations, and the embedding reads ids.
void check_embedding(const Recipe& recipe, const Candidate& embedding) {
  const RecipeStep& step = recipe.steps[*embedding.step];
  if (!step.quantize || !needs_of(step.rounding).any()) return;
  misuse(
      "recipe '{}', step {}: rounding '{}' needs the activations that a matrix reads, and the embedding '{}' reads "
      "ids; "
      "round it to nearest",
      recipe.name, *embedding.step + 1, to_short(step.rounding), embedding.tensor);
}

/// The tensors of the blocks' sites that one transform step is for.
std::set<std::string> sites_of(size_t s, const Recipe& recipe, const Graph& graph,
                               const std::vector<Candidate>& candidates) {
  const RecipeStep& step = recipe.steps[s];
  std::set<std::string> result;
  for (const Candidate& c : candidates) {
    if (step.targets.empty() && c.in_blocks() && !c.kept) result.insert(c.tensor);
  }
  for (const std::string& pattern : step.targets) {
    bool hit = false, outside = false;
    for (const Candidate& c : candidates) {
      if (!c.goes_by(pattern)) continue;
      (c.in_blocks() ? hit : outside) = true;
      if (c.in_blocks()) result.insert(c.tensor);
    }
    if (hit) continue;
    if (!outside) reject_pattern(pattern, s, recipe, graph, candidates);
    misuse("recipe '{}', step {}: the pattern '{}' names a matrix outside the blocks, and '{}' is for their sites only",
           recipe.name, s + 1, pattern, to_short(*step.transform));
  }
  return result;
}

void check_clashes(const Recipe& recipe, const std::vector<TransformSites>& transforms) {
  for (const TransformSites& later : transforms) {
    for (const TransformSites& earlier : transforms) {
      if (&earlier == &later) break;
      const std::string reason = clash(earlier.transform, later.transform);
      if (reason.empty()) continue;
      for (const std::string& tensor : later.tensors) {
        if (!earlier.tensors.contains(tensor)) continue;
        misuse("recipe '{}', steps {} and {}, '{}': {}", recipe.name, earlier.step + 1, later.step + 1, tensor, reason);
      }
    }
  }
}

/// What a rotation of the residual stream gives the matrices on either side of the blocks; nullptr where there is none.
const RecipeStep* step_of_rotated(const Recipe& recipe) {
  static const RecipeStep int8 = [] {
    RecipeStep step;
    step.quantize = parse_target("int8-row");
    return step;
  }();
  const auto rotates = [](const RecipeStep& step) {
    const auto* rotation = step.transform ? std::get_if<HadamardTransform>(&*step.transform) : nullptr;
    return rotation != nullptr && rotation->residual && rotation->outer == OuterStorage::kInt8Row;
  };
  const auto quantizes = [](const RecipeStep& step) { return step.quantize.has_value(); };
  const bool applies = std::any_of(recipe.steps.begin(), recipe.steps.end(), rotates) &&
                       std::any_of(recipe.steps.begin(), recipe.steps.end(), quantizes);
  return applies ? &int8 : nullptr;
}

/// Gives the format to the operands that the pattern matches; false when that are none.
bool apply_to_operands(std::string_view pattern, const ActivationFormat& format, int blocks, OperandFormats& formats) {
  bool hit = false;
  for (int b = 0; b < blocks; ++b) {
    for (const Operand operand : kOperands) {
      const auto matches = [&](const std::string& name) { return glob_match(pattern, name); };
      if (!matches(std::string(name_of(operand))) && !matches(operand_place(b, operand)) &&
          !matches(operand_place(b - blocks, operand))) {
        continue;
      }
      formats.insert_or_assign(std::pair(b, operand), format);
      hit = true;
    }
  }
  return hit;
}

[[noreturn]] void reject_operand(const std::string& pattern, size_t step, const Recipe& recipe, const Graph& graph) {
  for (const Candidate& c : candidates_of(graph)) {
    if (!c.goes_by(pattern)) continue;
    misuse(
        "recipe '{}', step {}: '{}' is what linear layers read or are; what they read is rounded by 'activations' of "
        "the step that quantizes them",
        recipe.name, step + 1, pattern);
  }
  std::vector<std::string> names;
  for (const Operand operand : kOperands) names.emplace_back(name_of(operand));
  misuse(
      "recipe '{}', step {}: the pattern '{}' matches nothing that attention multiplies{}; that is {}, and their "
      "places "
      "such as '{}'",
      recipe.name, step + 1, pattern, did_you_mean(pattern, names), fmt::join(names, ", "),
      operand_place(0, Operand::kKeys));
}

/// Every matrix with the step that says what becomes of it, if any does.
std::vector<Candidate> with_steps(const Recipe& recipe, const Graph& graph) {
  check(recipe);
  std::vector<Candidate> candidates = candidates_of(graph);
  if (candidates.empty()) misuse("recipe '{}': this model has no matrix to quantize", recipe.name);
  for (size_t s = 0; s < recipe.steps.size(); ++s) {
    const RecipeStep& step = recipe.steps[s];
    if (step.transform || step.attention) continue;
    if (step.targets.empty()) {
      for (Candidate& c : candidates) {
        if (c.in_blocks() && !c.kept) c.step = s;
      }
    }
    for (const std::string& pattern : step.targets) {
      if (!apply(pattern, s, candidates)) reject_pattern(pattern, s, recipe, graph, candidates);
    }
  }
  if (graph.tied_head) join_tied_head(recipe, candidates);
  return candidates;
}

}  // namespace

std::map<std::string, RecipeStep> resolve(const Recipe& recipe, const Graph& graph) {
  const std::vector<Candidate> candidates = with_steps(recipe, graph);
  std::map<std::string, RecipeStep> result;
  const RecipeStep* rotated = step_of_rotated(recipe);
  for (const Candidate& c : candidates) {
    if (rotated != nullptr && !c.step && (c.role == "embedding" || c.role == "head"))
      result.emplace(c.tensor, *rotated);
    if (c.step && c.role == "embedding" && !graph.tied_head) check_embedding(recipe, c);
    if (c.step && recipe.steps[*c.step].quantize) result.emplace(c.tensor, recipe.steps[*c.step]);
  }
  return result;
}

std::set<std::string> resolve_kept(const Recipe& recipe, const Graph& graph) {
  std::set<std::string> kept;
  for (const Candidate& c : with_steps(recipe, graph)) {
    if (c.step && recipe.steps[*c.step].keeps()) kept.insert(c.tensor);
  }
  return kept;
}

InputFormats resolve_activations(const Recipe& recipe, const std::map<std::string, RecipeStep>& steps,
                                 const Graph& graph) {
  std::set<std::string> of_blocks;
  for (const Site& site : linear_sites(graph)) of_blocks.insert(site.linear->weight);
  for (const auto& [name, step] : steps) {
    if (!step.activations || of_blocks.contains(name)) continue;
    misuse("recipe '{}': '{}' lies outside the blocks; only what their matrices read is rounded (here to {})",
           recipe.name, name, to_string(*step.activations));
  }
  InputFormats formats;
  for (int b = 0; b < static_cast<int>(graph.blocks.size()); ++b) {
    std::map<int, const Site*> first;  // reader of each input
    const std::vector<Site> sites = linear_sites(graph, b);
    const auto wanted = [&](const Site& site) -> std::optional<ActivationFormat> {
      const auto step = steps.find(site.linear->weight);
      return step == steps.end() ? std::nullopt : step->second.activations;
    };
    for (const Site& site : sites) {
      if (stays(graph, site)) continue;
      const Site& other = *first.emplace(site.input, &site).first->second;
      if (wanted(site) == wanted(other)) continue;
      const auto text = [&](const Site& s) { return wanted(s) ? to_string(*wanted(s)) : "as it is"; };
      misuse("recipe '{}': '{}' reads {}, and '{}' reads the same input {}; an input has one format", recipe.name,
             other.linear->weight, text(other), site.linear->weight, text(site));
    }
    for (int input = 0; input < input_count(graph, b); ++input) {
      const auto reader = first.find(input);
      auto format = reader == first.end() ? std::nullopt : wanted(*reader->second);
      if (!format) format = input_at(graph, b, input).activations;
      const auto width = static_cast<size_t>(input_at(graph, b, input).width);
      if (format && !format->shifts.empty() && format->shifts.size() != width) {
        misuse("recipe '{}': {} shifts for the {} channels of block {}, {}; -shift[DIGITS] has a digit for each",
               recipe.name, format->shifts.size(), width, b, input_at(graph, b, input).name);
      }
      if (format) formats.emplace(std::pair(b, input), *format);
    }
  }
  return formats;
}

OperandFormats resolve_operands(const Recipe& recipe, const Graph& graph) {
  check(recipe);
  const auto count = static_cast<int>(graph.blocks.size());
  OperandFormats formats;
  for (int b = 0; b < count; ++b) {
    for (const Operand operand : kOperands) {
      const auto& own = graph.blocks[static_cast<size_t>(b)].attention.format_of(operand);
      if (own) formats.emplace(std::pair(b, operand), *own);
    }
  }
  for (size_t s = 0; s < recipe.steps.size(); ++s) {
    const RecipeStep& step = recipe.steps[s];
    if (!step.attention) continue;
    for (const std::string& pattern : step.targets) {
      if (!apply_to_operands(pattern, *step.attention, count, formats)) reject_operand(pattern, s, recipe, graph);
    }
  }
  for (const auto& [place, format] : formats) {
    const std::string reason = bad_operand_format(place.second, format);
    if (!reason.empty()) misuse("recipe '{}': {}", recipe.name, reason);
  }
  return formats;
}

std::vector<TransformSites> resolve_transforms(const Recipe& recipe, const Graph& graph) {
  check(recipe);
  const std::vector<Candidate> candidates = candidates_of(graph);
  std::vector<TransformSites> result;
  for (size_t s = 0; s < recipe.steps.size(); ++s) {
    const RecipeStep& step = recipe.steps[s];
    if (step.transform) result.push_back({s, *step.transform, sites_of(s, recipe, graph, candidates)});
  }
  check_clashes(recipe, result);
  return result;
}

}  // namespace bitloom

#include "pipeline/allocation/allocate_bits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "allocate/choose_storages.h"
#include "base/error.h"
#include "base/text/text.h"
#include "io/safetensors/safetensors_header.h"
#include "pipeline/allocation/sensitivity.h"
#include "pipeline/allocation/storage_error.h"
#include "pipeline/cost/cost_model.h"
#include "pipeline/output/plan.h"
#include "pipeline/ranks/rank_work.h"
#include "pipeline/task/quantize_task.h"
#include "recipe/parts.h"
#include "round/fitted/fit_format.h"

namespace bitloom {
namespace {

/// The header of every file beside its tensors' entries, and padding.
constexpr int64_t kFileText = 128;

/// What a tensor takes in a file of so many bytes, its entry in the header included, at most.
int64_t bytes_in_file(const TensorSpec& spec, int64_t file_bytes) {
  return spec.bytes() + safetensors_entry_bytes(spec, file_bytes);
}

/// One way to store a group.
struct Choice {
  RoundingTarget target;
  double bits = 0;  // nominal
  int64_t bytes = 0;
};

struct Group {
  std::string place;
  RecipeStep step;
  std::vector<std::string> tensors = {};
  std::vector<RowSourcePtr> matrices = {};
  bool outside = false;  // of the blocks
  std::vector<Choice> choices = {};

  int64_t weights() const {
    int64_t sum = 0;
    for (const RowSourcePtr& w : matrices) sum += w->rows() * w->cols();
    return sum;
  }
};

/// "experts.3.down" -> "experts.down".
std::string role_of_all(const std::string& role) {
  constexpr std::string_view kExperts = "experts.";
  if (!role.starts_with(kExperts)) return role;
  return std::string(kExperts) + role.substr(role.find('.', kExperts.size()) + 1);
}

class Groups {
 public:
  explicit Groups(const QuantizeTask& task) : task_(task), kept_(resolve_kept(task.recipe, task.model->graph())) {
    const Checkpoint& model = *task.model;
    const Graph& graph = model.graph();
    for (const Site& site : linear_sites(graph)) {
      const auto step = task.steps.find(site.linear->weight);
      if (step == task.steps.end()) continue;
      Group& group = at(fmt::format("blocks.{}.{}", site.block, role_of_all(site.linear->role)), step->second);
      group.tensors.push_back(site.linear->weight);
      group.matrices.push_back(model.matrix(*site.linear));
    }
    add_outside("embedding", graph.embedding, model.tensor(graph.embedding).rows);
    if (!graph.tied_head) add_outside("head", graph.head.weight, model.matrix(graph.head));
  }
  std::vector<Group> take() { return std::move(groups_); }

 private:
  Group& at(const std::string& place, const RecipeStep& step) {
    const auto [index, is_new] = places_.emplace(place + " " + to_short(step), groups_.size());
    if (is_new) groups_.push_back({place, step});
    return groups_[index->second];
  }

  void add_outside(const std::string& place, const std::string& tensor, RowSourcePtr matrix) {
    RecipeStep usual;
    usual.quantize = parse_target(kOutsideTarget);
    const auto step = task_.steps.find(tensor);
    if (step == task_.steps.end() && kept_.contains(tensor)) return;
    Group& group = at(place, step == task_.steps.end() ? usual : step->second);
    group.outside = true;
    group.tensors.push_back(tensor);
    group.matrices.push_back(std::move(matrix));
  }

  const QuantizeTask& task_;
  const std::set<std::string> kept_;  // by a step that says so
  std::map<std::string, size_t> places_;
  std::vector<Group> groups_;
};

/// All widths of the group's storage.
std::vector<Choice> all_choices(const Group& group, int64_t file_bytes) {
  std::vector<Choice> choices;
  for (Storage& storage : at_all_widths(group.step.quantize->storage)) {
    if (!rounds_onto(group.step.rounding, storage)) continue;
    Choice choice{{std::move(storage), group.step.quantize->search}};
    const Storage written = storage_by(group.step.rounding, choice.target.storage);
    for (size_t i = 0; i < group.tensors.size(); ++i) {
      const RowSource& w = *group.matrices[i];
      choice.bits = nominal_bits(written, w.rows(), w.cols());
      for (const TensorPart& part : greatest_parts(written, w.rows(), w.cols())) {
        choice.bytes += bytes_in_file({group.tensors[i] + part.suffix, part.dtype, part.shape}, file_bytes);
      }
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

double true_bits(const Group& group, const Choice& choice) {
  return 8 * static_cast<double>(choice.bytes) / static_cast<double>(group.weights());
}

/// Leaves the choices of what lies outside the blocks from its floor on, one at least. Returns the bits that a weight
/// of the blocks has in the mean when it stands there. `bytes`: of all groups.
double raise_outside(std::vector<Group>& groups, int64_t bytes) {
  int64_t weights = 0;
  for (Group& group : groups) {
    if (!group.outside) {
      weights += group.weights();
      continue;
    }
    std::vector<Choice>& choices = group.choices;
    const auto first = std::find_if(choices.begin(), choices.end(),
                                    [&](const Choice& c) { return true_bits(group, c) >= kOutsideBits; });
    choices.erase(choices.begin(), first == choices.end() ? choices.end() - 1 : first);
    bytes -= choices.front().bytes;
  }
  return 8 * static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(weights, 1));
}

/// Of each group the first choice that it may have: of the blocks a step of widths below the mean that `chosen` gives
/// those of them that have a choice, or the one before where that is above the mean.
std::vector<size_t> floors_of(const std::vector<Group>& groups, const std::vector<size_t>& chosen) {
  int64_t bytes = 0, weights = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].outside || groups[g].choices.size() < 2) continue;
    bytes += groups[g].choices[chosen[g]].bytes, weights += groups[g].weights();
  }
  const double mean = 8 * static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(weights, 1));
  std::vector<size_t> floors(groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    const std::vector<Choice>& choices = groups[g].choices;
    if (groups[g].outside || choices.size() < 2) continue;
    const double floor = mean - (choices[1].bits - choices[0].bits);
    size_t& first = floors[g];
    while (first + 1 < choices.size() && true_bits(groups[g], choices[first]) < floor) ++first;
    if (first > 0 && true_bits(groups[g], choices[first]) > mean) --first;
  }
  return floors;
}

/// Lowers floors, all by a choice at a time, until what stands on them fits.
void lower_to_fit(const std::vector<Group>& groups, int64_t bytes, std::vector<size_t>& floors) {
  const auto stands_on = [&] {
    int64_t sum = 0;
    for (size_t g = 0; g < groups.size(); ++g) sum += groups[g].choices[floors[g]].bytes;
    return sum;
  };
  while (stands_on() > bytes && std::any_of(floors.begin(), floors.end(), [](size_t floor) { return floor > 0; })) {
    for (size_t& floor : floors) floor -= floor > 0 ? 1 : 0;
  }
}

/// Where bits save most, none below its floor.
std::vector<size_t> choose(const std::vector<Group>& groups, const std::vector<std::vector<StorageChoice>>& choices,
                           int64_t bytes) {
  std::vector<size_t> floors = floors_of(groups, choose_storages(choices, bytes));
  lower_to_fit(groups, bytes, floors);
  std::vector<std::vector<StorageChoice>> allowed;
  for (size_t g = 0; g < choices.size(); ++g) {
    allowed.emplace_back(choices[g].begin() + static_cast<std::ptrdiff_t>(floors[g]), choices[g].end());
  }
  std::vector<size_t> chosen = choose_storages(allowed, bytes);
  for (size_t g = 0; g < chosen.size(); ++g) chosen[g] += floors[g];
  return chosen;
}

/// Whether values of the blocks that are not rounded may be written as other ones, found on data: then in fp32.
bool rewrites_by_data(const Recipe& recipe) {
  return std::any_of(recipe.steps.begin(), recipe.steps.end(), [](const RecipeStep& step) {
    if (!step.transform) return false;
    const PartStage stage = row_of(part_of(*step.transform)).stage;
    return stage == PartStage::kScaling || stage == PartStage::kReassembly || stage == PartStage::kAfterwards;
  });
}

/// What the files hold beside the groups, at most.
int64_t other_bytes(const QuantizeTask& task, const std::vector<Group>& groups, int64_t file_bytes, Context& context) {
  const Graph& graph = task.model->graph();
  const bool rewrites = rewrites_by_data(task.recipe);
  std::map<std::string, RecipeStep> steps = task.steps;
  std::set<std::string> allocated;
  for (const Group& group : groups) {
    allocated.insert(group.tensors.begin(), group.tensors.end());
    for (const std::string& tensor : group.tensors) steps.emplace(tensor, group.step);
  }
  int64_t bytes = kFileText * (file_bytes / task.options.shard_bytes + 2);
  for (const PlannedTensor& tensor : plan_tensors(*task.model, steps, {}, context)) {
    if (allocated.contains(tensor.name)) continue;
    // A norm that is learned may be held by another type of 16 bits, whose name is longer.
    const bool grows = rewrites && tensor.name != graph.embedding && tensor.name != graph.head.weight;
    for (TensorSpec spec : tensor.parts) {
      if (grows && info(spec.dtype).is_float && info(spec.dtype).bits == 16) spec.dtype = DType::kF32;
      bytes += bytes_in_file(spec, file_bytes) + 1;
    }
  }
  return bytes;
}

/// Expected errors of every choice of every group.
std::vector<std::vector<double>> errors_of(const std::vector<Group>& groups, Ranks& ranks, Context& context) {
  StorageErrors storages(context.threads);
  const ProgressTask task(context.progress, "errors of storages", static_cast<int64_t>(groups.size()));
  return made_by_ranks(std::ssize(groups), ranks, [&](int64_t g) {
    const Group& group = groups[static_cast<size_t>(g)];
    std::vector<double> errors;
    for (const Choice& choice : group.choices) {
      errors.push_back(storages.error(*group.matrices.front(), choice.target));
    }
    context.progress.advance(1, group.place);
    return errors;
  });
}

/// Bytes that the errors take beside what the process holds.
int64_t errors_memory(const std::vector<Group>& groups, int64_t threads) {
  int64_t most = 0;
  for (const Group& group : groups) {
    const RowSource& w = *group.matrices.front();
    for (const Choice& choice : group.choices) {
      most = std::max(most, error_memory(w.rows(), w.cols(), choice.target, threads));
    }
  }
  return most;
}

/// The groups in the blocks, whose sensitivities gradients tell.
std::vector<RoundedGroup> groups_inside(const std::vector<Group>& groups) {
  std::vector<RoundedGroup> inside;
  for (const Group& group : groups) {
    if (!group.outside) inside.push_back({group.tensors, group.step.rounding, *group.step.quantize});
  }
  return inside;
}

/// The others, with noise of the size that the storage nearest the mean leaves; `errors` empty: of no size.
std::vector<Disturbance> disturbances_outside(const std::vector<Group>& groups,
                                              const std::vector<std::vector<double>>& errors, double mean) {
  std::vector<Disturbance> outside;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (!groups[g].outside) continue;
    const std::vector<Choice>& choices = groups[g].choices;
    const auto nearer = [&](const Choice& a, const Choice& b) {
      return std::abs(a.bits - mean) < std::abs(b.bits - mean);
    };
    const auto usual = std::min_element(choices.begin(), choices.end(), nearer) - choices.begin();
    outside.push_back({groups[g].tensors, errors.empty() ? 0 : errors[g][static_cast<size_t>(usual)]});
  }
  return outside;
}

std::vector<double> sensitivities_of(const QuantizeTask& task, const std::vector<Group>& groups,
                                     const std::vector<std::vector<double>>& errors, double mean, Context& context) {
  const auto& sequences = task.options.data->sequences;
  const uint64_t seed = task.options.seed;
  Ranks& ranks = *task.options.ranks;
  std::vector<double> all = gradient_sensitivities(*task.model, groups_inside(groups), sequences, seed, ranks, context);
  const std::vector<double> tried =
      probe_sensitivities(*task.model, disturbances_outside(groups, errors, mean), sequences, seed, ranks, context);
  all.insert(all.end(), tried.begin(), tried.end());  // the groups outside the blocks stand last
  return all;
}

/// What all of it takes beside what the process holds, said and refused before any of it is done.
int64_t memory_of(const QuantizeTask& task, const std::vector<Group>& groups, Context& context) {
  const int threads = context.threads.thread_count();
  const int64_t taken = std::max(
      {errors_memory(groups, threads), gradient_sensitivities_memory(*task.model, groups_inside(groups), threads),
       probe_sensitivities_memory(*task.model, disturbances_outside(groups, {}, 0), threads)});
  const int64_t allowed = task.options.memory, needed = private_resident_bytes() + taken;
  if (allowed > 0 && needed > allowed) {
    fail(ErrorKind::kFailed,
         "--mem {} is too little to find out which of this model's matrices need bits: at least {} are needed",
         human_bytes(allowed), human_bytes(needed));
  }
  context.progress.log(fmt::format("bits are allocated in at most {} of memory", human_bytes(needed)));
  return taken;
}

/// The recipe, and a step for each storage that differs from what it says.
Recipe with_choices(const Recipe& recipe, const QuantizeTask& task, const std::vector<Group>& groups,
                    const std::vector<size_t>& chosen) {
  Recipe result = recipe;
  const size_t first = result.steps.size();
  for (size_t g = 0; g < groups.size(); ++g) {
    RecipeStep step = groups[g].step;
    step.quantize = groups[g].choices[chosen[g]].target;
    for (const std::string& tensor : groups[g].tensors) {
      if (const auto before = task.steps.find(tensor);
          before != task.steps.end() && before->second.quantize == step.quantize) {
        continue;
      }
      step.targets = {tensor};
      const auto same = [&](const RecipeStep& other) {
        return other.quantize == step.quantize && other.rounding == step.rounding &&
               other.activations == step.activations;
      };
      const auto known =
          std::find_if(result.steps.begin() + static_cast<std::ptrdiff_t>(first), result.steps.end(), same);
      if (known == result.steps.end()) {
        result.steps.push_back(step);
      } else {
        known->targets.push_back(tensor);
      }
    }
  }
  return result;
}

/// A fit is to the matrices that share it, and which these are an allocation decides.
void refuse_open_formats(const Recipe& recipe) {
  for (const RecipeStep& step : recipe.steps) {
    if (!step.quantize || !fit_request(step.quantize->storage)) continue;
    misuse("recipe '{}': {} is fitted to the matrices that share it, which bits of their own change; name its levels",
           recipe.name, to_string(*step.quantize));
  }
}

std::vector<Group> groups_of(const QuantizeTask& task, int64_t file_bytes) {
  std::vector<Group> groups = Groups(task).take();
  bool any = false;
  for (Group& group : groups) {
    group.choices = all_choices(group, file_bytes);
    any |= !group.outside && group.choices.size() > 1;
  }
  if (any) return groups;
  misuse(
      "recipe '{}': what it stores the blocks' matrices as has one width, so there are no bits to allocate; name one "
      "of several, such as int4-g64, codebook3-col or trellis2",
      task.recipe.name);
}

/// Before anything is tried.
void refuse_if_too_small(const std::vector<Group>& groups, int64_t bytes, int64_t others, const std::string& recipe) {
  int64_t least = others;
  for (const Group& group : groups) least += group.choices.front().bytes;
  if (least <= bytes) return;
  misuse(
      "{} is too little for recipe '{}': with every matrix at its smallest width (embedding and head at {} bits) the "
      "files take {}, of which {} are what it leaves as it is",
      human_bytes(bytes), recipe, kOutsideBits, human_bytes(least), human_bytes(others));
}

}  // namespace

int64_t bytes_at(const Model& model, double bits_per_weight) {
  int64_t weights = 0;
  for (const CheckpointTensor& tensor : model.tensors()) weights += tensor.rows->rows() * tensor.rows->cols();
  return static_cast<int64_t>(bits_per_weight * static_cast<double>(weights) / 8);
}

Allocation allocate_bits(std::shared_ptr<const Checkpoint> source, const Recipe& recipe, const QuantizeOptions& options,
                         int64_t bytes, Context& context) {
  refuse_open_formats(recipe);
  const QuantizeTask task = make_task(std::move(source), recipe, options, context.threads);
  std::vector<Group> groups = groups_of(task, bytes);
  const int64_t others = other_bytes(task, groups, bytes, context);
  const double mean = raise_outside(groups, bytes - others);

  std::vector<std::vector<StorageChoice>> choices;
  for (const Group& group : groups) {
    choices.emplace_back();
    for (const Choice& choice : group.choices) choices.back().push_back({choice.bytes, 0});
  }
  refuse_if_too_small(groups, bytes, others, recipe.name);
  const int64_t memory = memory_of(task, groups, context);
  const std::vector<std::vector<double>> errors = errors_of(groups, *options.ranks, context);
  const std::vector<double> sensitivities = sensitivities_of(task, groups, errors, mean, context);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t c = 0; c < choices[g].size(); ++c) choices[g][c].loss = sensitivities[g] * errors[g][c];
  }
  const std::vector<size_t> chosen = choose(groups, choices, bytes - others);

  Allocation allocation{with_choices(recipe, task, groups, chosen), {}, others, memory, 0};
  for (size_t g = 0; g < groups.size(); ++g) {
    const Choice& choice = groups[g].choices[chosen[g]];
    allocation.groups.push_back({groups[g].place, groups[g].tensors, to_string(choice.target), groups[g].weights(),
                                 choice.bytes, sensitivities[g], errors[g][chosen[g]]});
    allocation.bytes += choice.bytes;
    allocation.predicted_kl += allocation.groups.back().loss();
  }
  return allocation;
}

Json to_json(const Allocation& allocation) {
  Json groups = Json::array();
  for (const AllocatedGroup& group : allocation.groups) {
    groups.push_back({{"place", group.place},
                      {"storage", group.storage},
                      {"weights", group.weights},
                      {"bytes", group.bytes},
                      {"sensitivity", group.sensitivity},
                      {"error", group.error},
                      {"loss", group.loss()}});
  }
  return {{"bytes", allocation.bytes},
          {"memory", allocation.memory},
          {"predicted_kl", allocation.predicted_kl},
          {"groups", std::move(groups)}};
}

}  // namespace bitloom

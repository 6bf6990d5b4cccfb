#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text/text.h"
#include "cli/flags/calibration_flags.h"
#include "cli/flags/common_flags.h"
#include "cli/pages/page_file.h"
#include "cli/pages/quantize_page.h"
#include "cli/pages/site_tables.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "cli/verbs/forecast.h"
#include "io/directory/output_directory.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/allocation/allocate_bits.h"
#include "pipeline/cost/cost_model.h"
#include "pipeline/journal/journal.h"
#include "pipeline/output/manifest.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"
#include "report/numbers.h"
#include "tune/tuners.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model, out, recipe = kDefaultRecipe, shard_size = "5G", size, html;
  double bits = 0;  // per weight of the model; 0: as the recipe says
  bool force = false, restart = false, dry_run = false, sites = false;
  CalibrationFlags calibration;
};

/// Where the time of a calibrated run went.
std::string times_text(const WalkTimes& times) {
  if (times.tokens == 0) return fmt::format("rounding {}, from kept statistics\n", format_duration(times.rounding));
  const double forward = std::max(times.forward, 1e-9);
  return fmt::format(
      "forward passes {}, statistics {}, rewrites {}, rounding {}{}: {:.2f} times the forward passes over {} tokens\n",
      format_duration(times.forward), format_duration(times.statistics), format_duration(times.scaling),
      format_duration(times.rounding), times.tuning > 0 ? ", tuning " + format_duration(times.tuning) : "",
      (forward + times.statistics + times.scaling + times.rounding + times.tuning) / forward,
      format_count(times.tokens));
}

std::string summary(const Flags& flags, const QuantizeResult& result, bool bold) {
  std::string text = flags.sites ? site_table(result.sites).to_text(bold) + "\n" : "";
  text += size_table(result).to_text(bold) + "\n" + scheme_table(result.sites).to_text(bold);
  const Table layers = layer_table(result.sites);
  if (result.times && layers.rows() > 0) text += "\n" + layers.to_text(bold);
  const Table experts = expert_table(result.sites);
  if (result.times && experts.rows() > 0) text += "\n" + experts.to_text(bold);
  text +=
      fmt::format("error: squared error over squared weight{}\n",
                  layers.rows() > 0 ? "; output error: the same of a layer's outputs on the calibration tokens" : "");
  if (const std::string note = rounding_note(result.sites); !note.empty()) text += note + "\n";
  if (const std::string warning = compensation_warning(result.sites); !warning.empty()) text += warning + "\n";
  text += "\n";
  if (result.times) text += times_text(*result.times);
  if (const std::string lost = lost_remark(result.sites); !lost.empty()) text += lost + "\n";
  if (!result.growth.empty()) text += result.growth + "\n";
  return text + fmt::format("{}: {} -> {} in {}, {} bits per weight of the model\n", flags.out,
                            human_bytes(result.bytes_before), human_bytes(result.bytes),
                            format_duration(result.seconds), format_bits(result.bits_model));
}

void dry_run(const Flags& flags, const QuantizeTask& task, const std::optional<Allocation>& allocation,
             Session& session) {
  for (const std::string& remark : task.source->remarks()) session.warner()(remark);
  QuantizeCost cost = predict_quantization(task, session.context(), &kTuner);
  if (allocation) cost.memory = std::max(cost.memory, private_resident_bytes() + allocation->memory);
  const Forecast forecast = make_forecast(std::move(cost), task.options.memory, flags.out);
  Json record = to_json(forecast);
  std::string text = forecast_text(forecast, session.bold());
  if (allocation) {
    record["allocation"] = to_json(*allocation);
    text += "\n" + allocation_table(*allocation).to_text(session.bold());
  }
  session.show(record, text);
  if (!forecast.fits()) fail(ErrorKind::kFailed, "the run would not fit");
}

/// A rank was lost, or the user has stopped them: the launcher ends all.
std::string last_words(const std::string& out, int ranks) {
  const std::string cause =
      fmt::format("bitloom: error: the run was stopped, or one of its {} processes was lost", ranks);
  const std::string kept = Journal::kept_for(out);
  if (kept.empty()) return cause;
  return cause + fmt::format("; the same command goes on after {} (from {})", kept, Journal::directory_for(out));
}

/// The work, stopped by a signal in an orderly way.
QuantizeResult run_guarded(const Flags& flags, const QuantizeTask& task, Session& session) {
  const Ranks& ranks = *session.ranks();
  // Other ranks have nothing to clear up: a signal ends them.
  std::optional<InterruptGuard> guard;
  std::optional<PromptStop> stop;
  if (ranks.leads()) guard.emplace();
  if (ranks.leads() && ranks.size() > 1) stop.emplace([&] { return last_words(flags.out, ranks.size()); });
  if (ranks.size() > 1) {
    session.progress().log(
        fmt::format("{} processes, {} threads each", ranks.size(), session.context().threads.thread_count()));
  }
  try {
    return quantize_model(task, flags.out, session.context(), &kTuner);
  } catch (const Interrupted&) {
    if (const std::string kept = Journal::kept_for(flags.out); !kept.empty()) {
      session.progress().log(
          fmt::format("the same command goes on after {} (from {})", kept, Journal::directory_for(flags.out)));
    }
    throw;
  }
}

/// A name that other tools give to one file of weights.
void check_name(const std::string& out) {
  std::string ending = std::filesystem::path(out.substr(0, out.find_last_not_of('/') + 1)).extension();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending != ".gguf" && ending != ".safetensors" && ending != ".bin") return;
  misuse("output '{}': a directory of safetensors is written, no {} file; name a directory", out,
         ending == ".gguf" ? "GGUF" : ending);
}

/// Before any work: OUT may be made, and what is read or kept beside it survives that.
void check_outputs(const Flags& flags) {
  check_output(flags.out, flags.force);
  std::vector<std::string> others = {flags.model};
  for (const std::string& path :
       {flags.calibration.file, flags.calibration.statistics_in, flags.calibration.statistics_out}) {
    if (!path.empty()) others.push_back(path);
  }
  if (std::filesystem::is_regular_file(flags.recipe)) others.push_back(flags.recipe);
  check_spares(flags.out, others);
}

/// "int4" alone shares a scale over a whole row, which few expect.
void remark_on_rows(const std::string& text, const Recipe& recipe, Session& session) {
  const auto holds = [](const std::string& name) { return name.find("-row") != std::string::npos; };
  if (!to_short(recipe) || std::filesystem::exists(text) || holds(text) || !holds(recipe.name)) return;
  session.progress().log(
      fmt::format("recipe '{}' means {}: one scale for each row; -g128 behind a format's name means "
                  "one for every 128 weights, which is closer",
                  text, recipe.name));
}

std::string check_bits(const std::string& text) {
  const auto bits = parse_number<double>(text);
  return bits && *bits > 0 && *bits <= 16 ? "" : fmt::format("'{}' is no number of bits above 0, 16 at most", text);
}

/// The recipe with bits allocated to --size or --bpw.
Allocation allocate(const Flags& flags, const Recipe& recipe, const QuantizeOptions& options,
                    const std::shared_ptr<const Checkpoint>& source, Session& session) {
  const int64_t bytes = flags.size.empty() ? bytes_at(*source, flags.bits) : parse_bytes(flags.size, "--size");
  Allocation allocation = allocate_bits(source, recipe, options, bytes, session.context());
  std::map<std::string, int> storages;
  for (const AllocatedGroup& group : allocation.groups)
    storages[group.storage] += static_cast<int>(group.tensors.size());
  std::vector<std::string> counts;
  for (const auto& [storage, count] : storages) counts.push_back(fmt::format("{} x {}", count, storage));
  session.progress().log(fmt::format("allocated: {}; at most {}, predicted KL {} nats per token",
                                     fmt::join(counts, ", "), human_bytes(allocation.bytes),
                                     format_significant(allocation.predicted_kl, 3)));
  return allocation;
}

void quantize(const Flags& flags, Session& session) {
  check_name(flags.out);
  QuantizeOptions options = options_of(flags.calibration);
  options.force = flags.force;
  options.restart = flags.restart;
  options.shard_bytes = parse_bytes(flags.shard_size, "--shard-size");
  options.ranks = session.ranks();
  Recipe recipe = load_recipe(flags.recipe);
  remark_on_rows(flags.recipe, recipe, session);
  if (!flags.dry_run && session.ranks()->leads()) check_outputs(flags);
  if (!flags.html.empty()) check_page_file(flags.html);
  const std::shared_ptr<const Checkpoint> source = Checkpoint::open(flags.model);
  const bool allocates = !flags.size.empty() || flags.bits > 0;
  const bool calibrates = needs_of(recipe).any() && options.statistics_in.empty();
  CalibrationData data;
  if (!allocates && !needs_of(recipe).any() && !flags.calibration.file.empty()) {
    session.progress().log(fmt::format("--calib is not used: recipe '{}' looks at no data", flags.recipe));
  }
  if (allocates || calibrates) data = read_calibration(flags.calibration, *source, session);
  if (allocates || calibrates) options.data = &data;
  std::optional<Allocation> allocation;
  if (allocates) {
    allocation = allocate(flags, recipe, options, source, session);
    recipe = allocation->recipe;
  }
  if (!calibrates) options.data = nullptr;
  const QuantizeTask task = make_task(source, recipe, options, session.context().threads);
  if (flags.dry_run) return dry_run(flags, task, allocation, session);
  const QuantizeResult result = run_guarded(flags, task, session);
  Json record = to_json(result);
  record["model"] = flags.model;
  record["out"] = flags.out;
  record["recipe"] = to_json(recipe);
  if (allocation) record["allocation"] = to_json(*allocation);
  if (!flags.html.empty() && session.ranks()->leads()) {
    write_page(flags.html,
               quantize_page(flags.out, result, recipe, read_json(flags.out + "/" + kManifestFile), record));
  }
  session.show(record, summary(flags, result, session.bold()));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("OUT,-o,--output", flags->out, "directory to write; appears only when complete")
      ->type_name("OUT")
      ->required();
  app.add_option("-r,--recipe", flags->recipe, "steps joined by '+'; a name; a YAML file")
      ->type_name("RECIPE")
      ->capture_default_str();
  Flag* size_flag =
      app.add_option("--size", flags->size, "what the weight files may take, as 60M; matrices get bits of their own")
          ->type_name("SIZE");
  app.add_option("--bpw", flags->bits, "the same in bits per weight of the model")
      ->type_name("BITS")
      ->check(check_bits)
      ->excludes(size_flag);
  app.add_flag("--force", flags->force, "replace OUT when it exists");
  app.add_option("--shard-size", flags->shard_size, "largest weight file, as 5G or 300M")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_flag("--restart", flags->restart, "discard what an interrupted run left instead of going on");
  Flag* dry_run_flag =
      app.add_flag("--dry-run", flags->dry_run, "say what it would take; exit code 1 when it does not fit");
  app.add_flag("--sites", flags->sites, "show every matrix in the closing table");
  app.add_option("--html", flags->html, "write a page on what was lost: errors by layer, provenance")
      ->type_name("FILE")
      ->excludes(dry_run_flag);
  add_calibration_flags(app, flags->calibration);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { quantize(*flags, session); };
}

}  // namespace

Verb quantize_verb() {
  return {"quantize",
          "make a model smaller",
          "MODEL OUT [--recipe RECIPE] [flags]",
          {"bitloom quantize assets/demo /tmp/demo-int4 --recipe int4-g32",
           "bitloom quantize model.gguf /tmp/model-3 --recipe gptq+int3-g64 --calib text.txt --mem 16G"},
          setup,
          true};
}

}  // namespace bitloom

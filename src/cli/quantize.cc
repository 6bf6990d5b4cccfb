#include <fmt/format.h>

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "cli/calibration_flags.h"
#include "cli/common_flags.h"
#include "cli/interrupt.h"
#include "cli/verb.h"
#include "io/output_directory.h"
#include "model/checkpoint.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model, out, recipe = kDefaultRecipe, shard_size = "5G";
  bool force = false, restart = false, dry_run = false;
  CalibrationFlags calibration;
};

// One row for each scheme that the recipe gave to some matrices.
struct SchemeRow {
  int64_t matrices = 0, weights = 0, saturated = 0, zero_groups = 0;
  double bits_nominal = 0, bits_true = 0, error = 0, worst_error = 0;  // the first three summed over weights
};

std::map<std::string, SchemeRow> by_scheme(const std::vector<SiteRecord>& sites) {
  std::map<std::string, SchemeRow> rows;
  for (const SiteRecord& site : sites) {
    SchemeRow& row = rows[site.spec];
    const int64_t weights = site.rows * site.cols;
    row.matrices += 1;
    row.weights += weights;
    row.saturated += site.saturated;
    row.zero_groups += site.zero_groups;
    row.bits_nominal += site.bits_nominal * static_cast<double>(weights);
    row.bits_true += site.bits_true * static_cast<double>(weights);
    row.error += site.weight_error * static_cast<double>(weights);
    row.worst_error = std::max(row.worst_error, site.weight_error);
  }
  return rows;
}

std::string scheme_table(const std::vector<SiteRecord>& sites, bool bold) {
  Table table({{"scheme", Align::kLeft},
               {"matrices"},
               {"weights"},
               {"bits nominal"},
               {"bits true"},
               {"error"},
               {"worst error"},
               {"saturated"},
               {"zero groups"}});
  for (const auto& [scheme, row] : by_scheme(sites)) {
    const double weights = static_cast<double>(std::max<int64_t>(row.weights, 1));
    table.add({scheme, format_count(row.matrices), format_count(row.weights), format_bits(row.bits_nominal / weights),
               format_bits(row.bits_true / weights), format_significant(row.error / weights, 3),
               format_significant(row.worst_error, 3), format_count(row.saturated), format_count(row.zero_groups)});
  }
  return table.to_text(bold);
}

/// Where the time of a calibrated run went.
std::string times_text(const WalkTimes& times) {
  const double forward = std::max(times.forward, 1e-9);
  return fmt::format(
      "forward passes {}, statistics {}, rewrites {}, rounding {}: {:.2f} times the forward passes over {} tokens\n",
      format_duration(times.forward), format_duration(times.statistics), format_duration(times.scaling),
      format_duration(times.rounding), (forward + times.statistics + times.scaling + times.rounding) / forward,
      format_count(times.tokens));
}

std::string summary(const Flags& flags, const QuantizeResult& result, bool bold) {
  return scheme_table(result.sites, bold) +
         fmt::format(
             "error: squared error over squared weight{}\n\n{}{}: {} -> {} in {}, {} bits per weight of the model\n",
             result.times ? "; output error: the same of the layers' outputs" : "",
             result.times ? times_text(*result.times) : "", flags.out, human_bytes(result.bytes_before),
             human_bytes(result.bytes), format_duration(result.seconds), format_bits(result.bits_true_model));
}

int64_t memory_of_machine() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
}

/// What a run would take, whatever its recipe.
struct Forecast {
  int64_t output_bytes = 0, memory = 0, disk = 0, memory_allowed = 0, disk_free = 0;
  double seconds = 0;
  WalkCost walk;  // empty for recipes without data
  bool fits() const { return memory <= memory_allowed && disk <= disk_free; }
};

std::string forecast_text(const Forecast& forecast, bool bold) {
  std::string text;
  if (!forecast.walk.blocks.empty()) {
    Table table({{"block"}, {"memory"}, {"time"}});
    for (size_t b = 0; b < forecast.walk.blocks.size(); ++b) {
      const BlockCost& cost = forecast.walk.blocks[b];
      table.add({std::to_string(b), human_bytes(forecast.walk.held_memory + cost.peak_memory),
                 format_duration(cost.seconds())});
    }
    text = table.to_text(bold) + "\n";
  }
  return text +
         fmt::format("output      {}\nmemory      {} of {}{}\ndisk        {} of {} free\ntime        about {}\n{}\n",
                     human_bytes(forecast.output_bytes), human_bytes(forecast.memory),
                     human_bytes(forecast.memory_allowed), forecast.walk.spills ? ", activations in a file" : "",
                     human_bytes(forecast.disk), human_bytes(forecast.disk_free), format_duration(forecast.seconds),
                     forecast.fits() ? "it fits" : "it does not fit");
}

Json to_json(const Forecast& forecast) {
  Json blocks = Json::array();
  for (const BlockCost& cost : forecast.walk.blocks) {
    blocks.push_back({{"memory", forecast.walk.held_memory + cost.peak_memory}, {"seconds", cost.seconds()}});
  }
  return {{"output_bytes", forecast.output_bytes},
          {"memory", forecast.memory},
          {"memory_allowed", forecast.memory_allowed},
          {"disk", forecast.disk},
          {"disk_free", forecast.disk_free},
          {"seconds", forecast.seconds},
          {"spills", forecast.walk.spills},
          {"fits", forecast.fits()},
          {"blocks", std::move(blocks)}};
}

void dry_run(const Flags& flags, const std::shared_ptr<const Checkpoint>& source, const Recipe& recipe,
             const QuantizeOptions& options, Session& session) {
  Forecast forecast;
  const QuantizeCost cost = predict_quantization(source, recipe, options, session.context());
  forecast.walk = cost.walk;
  forecast.output_bytes = cost.output_bytes;
  forecast.memory = cost.memory;
  forecast.disk = cost.disk;
  forecast.seconds = cost.seconds;
  forecast.memory_allowed = options.memory > 0 ? options.memory : memory_of_machine();
  forecast.disk_free = free_disk_bytes(flags.out);
  session.show(to_json(forecast), forecast_text(forecast, session.bold()));
  if (!forecast.fits()) fail(ErrorKind::kFailed, "the run would not fit");
}

void quantize(const Flags& flags, Session& session) {
  QuantizeOptions options = options_of(flags.calibration);
  options.force = flags.force;
  options.restart = flags.restart;
  options.shard_bytes = parse_bytes(flags.shard_size, "--shard-size");
  const Recipe recipe = load_recipe(flags.recipe);
  if (!flags.dry_run) check_output(flags.out, flags.force);
  const auto source = Checkpoint::open(flags.model);
  resolve(recipe, source->graph());
  CalibrationData data;
  if (!needs_of(recipe).any() && !flags.calibration.file.empty()) {
    session.progress().log(fmt::format("--calib is not used: recipe '{}' looks at no data", flags.recipe));
  }
  if (needs_of(recipe).any() && options.statistics_in.empty()) {
    data = read_calibration(flags.calibration, *source, session);
    options.data = &data;
  }
  if (flags.dry_run) return dry_run(flags, source, recipe, options, session);
  QuantizeResult result;
  {
    const InterruptGuard guard;
    result = quantize_model(source, flags.out, recipe, options, session.context());
  }
  Json record = to_json(result);
  record["model"] = flags.model;
  record["out"] = flags.out;
  record["recipe"] = to_json(recipe);
  session.show(record, summary(flags, result, session.bold()));
}

std::function<void()> setup(CLI::App& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("OUT,-o,--output", flags->out, "directory to write; appears only when complete")
      ->type_name("OUT")
      ->required();
  app.add_option("-r,--recipe", flags->recipe,
                 "FORMAT[-gN|-row|-tensor][-asym][-mse], as int4-g32, nf4-g64, mxfp4; a name that 'bitloom recipes' "
                 "lists; or a YAML file")
      ->type_name("RECIPE")
      ->capture_default_str();
  app.add_flag("--force", flags->force, "replace OUT when it exists");
  app.add_option("--shard-size", flags->shard_size, "largest weight file, as 5G or 300M")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_flag("--restart", flags->restart, "discard what an interrupted run left instead of going on");
  app.add_flag("--dry-run", flags->dry_run, "say what it would take, and whether it fits (exit code)");
  add_calibration_flags(app, flags->calibration);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { quantize(*flags, session); };
}

}  // namespace

Verb quantize_verb() {
  return {"quantize",
          "make a model smaller",
          "MODEL OUT --recipe RECIPE [flags]",
          {"bitloom quantize assets/demo /tmp/demo-int4 --recipe int4-g32",
           "bitloom quantize model.gguf /tmp/model-nf4 --recipe nf4-g64 --threads 4 --force"},
          setup};
}

}  // namespace bitloom

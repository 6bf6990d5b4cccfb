#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "cli/common_flags.h"
#include "cli/interrupt.h"
#include "cli/verb.h"
#include "model/checkpoint.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model, out, recipe, shard_size = "5G";
  bool force = false;
};

// One row for each scheme that some matrices have. Those taken over from a quantized source have no errors.
struct SchemeRow {
  int64_t matrices = 0, weights = 0, measured = 0, saturated = 0, zero_groups = 0;  // measured: of the weights
  double bits_nominal = 0, bits_true = 0, error = 0, worst_error = 0;  // the first three summed over weights
};

std::map<std::string, SchemeRow> by_scheme(const std::vector<SiteRecord>& sites) {
  std::map<std::string, SchemeRow> rows;
  for (const SiteRecord& site : sites) {
    SchemeRow& row = rows[site.spec];
    const int64_t weights = site.rows * site.cols;
    row.matrices += 1;
    row.weights += weights;
    row.bits_nominal += site.bits_nominal * static_cast<double>(weights);
    row.bits_true += site.bits_true * static_cast<double>(weights);
    if (site.taken_over) continue;
    row.measured += weights;
    row.saturated += site.saturated;
    row.zero_groups += site.zero_groups;
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
    std::vector<std::string> cells = {scheme, format_count(row.matrices), format_count(row.weights),
                                      format_bits(row.bits_nominal / weights), format_bits(row.bits_true / weights)};
    if (row.measured > 0) {
      cells.push_back(format_significant(row.error / static_cast<double>(row.measured), 3));
      cells.push_back(format_significant(row.worst_error, 3));
      cells.push_back(format_count(row.saturated));
      cells.push_back(format_count(row.zero_groups));
    } else {
      cells.insert(cells.end(), 4, "-");
    }
    table.add(std::move(cells));
  }
  return table.to_text(bold);
}

std::string summary(const Flags& flags, const QuantizeResult& result, bool bold) {
  return scheme_table(result.sites, bold) +
         fmt::format(
             "error: squared error over squared weight\n\n{}: {} -> {} in {}, {} bits per weight of the model\n",
             flags.out, human_bytes(result.bytes_before), human_bytes(result.bytes), format_duration(result.seconds),
             format_bits(result.bits_true_model));
}

void quantize(const Flags& flags, Session& session) {
  QuantizeOptions options;
  options.force = flags.force;
  options.shard_bytes = parse_bytes(flags.shard_size, "--shard-size");
  const Recipe recipe = load_recipe(flags.recipe);
  const auto source = Checkpoint::open(flags.model);
  QuantizeResult result;
  {
    const InterruptGuard guard;
    result = quantize_model(*source, flags.out, recipe, options, session.context());
  }
  Json record = to_json(result);
  record["model"] = flags.model;
  record["out"] = flags.out;
  record["recipe"] = to_json(recipe);
  session.show(record, summary(flags, result, session.bold()));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("OUT,-o,--output", flags->out, "directory to write; appears only when complete")
      ->type_name("OUT")
      ->required();
  app.add_option("-r,--recipe", flags->recipe,
                 "FORMAT[-gN|-row|-tensor][-asym][-mse], as int4-g32, nf4-g64, mxfp4; a name that 'bitloom recipes' "
                 "lists; or a YAML file")
      ->type_name("RECIPE")
      ->required();
  app.add_flag("--force", flags->force, "replace OUT when it exists");
  app.add_option("--shard-size", flags->shard_size, "largest weight file, as 5G or 300M")
      ->type_name("SIZE")
      ->capture_default_str();
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

#include "pipeline/quantize_model.h"

#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/text/text.h"
#include "io/directory/output_directory.h"
#include "pipeline/calibrated_model.h"
#include "pipeline/cost/cost_model.h"
#include "pipeline/output/write_output.h"

namespace bitloom {
namespace {

void check_spares_source(const Checkpoint& source, const std::string& out) {
  std::vector<std::string> files = source.weight_files();
  files.insert(files.begin(), source.path());
  check_spares(out, files);
}

void check_memory(const TuningCost& cost, int64_t allowed) {
  const int64_t needed = private_resident_bytes() + cost.memory;
  if (allowed == 0 || needed <= allowed) return;
  fail(ErrorKind::kFailed, "--mem {} is too little to learn from this model's logits: at least {} are needed",
       human_bytes(allowed), human_bytes(needed));
}

}  // namespace

QuantizeResult quantize_model(const QuantizeTask& task, const std::string& out, Context& context, const Tuner* tuner) {
  const Stopwatch watch;
  const double processor_start = processor_seconds();
  const QuantizeOptions& options = task.options;
  const bool calibrates = needs_of(task.recipe).any();
  if (!calibrates && !options.ranks->leads()) return {};
  // Early, so that no hour is spent on a directory that cannot be written.
  if (options.ranks->leads()) check_output(out, options.force);
  check_spares_source(*task.source, out);
  const bool learns = tunes(task, tuner);
  TuningCost tuning;
  if (learns && options.ranks->leads()) {
    tuning = tuner->cost(task);
    check_memory(tuning, options.memory);
  }
  std::optional<CalibratedModel> calibrated;
  if (calibrates) calibrated = calibrate(task, out, tuning.disk, context, tuner != nullptr ? tuner->blocks : nullptr);
  if (!options.ranks->leads()) return {};
  if (learns) tuner->tune(task, *calibrated, context);
  QuantizeResult result = write_output(task, calibrated ? &*calibrated : nullptr, out, context);
  if (calibrated) calibrated->journal->discard();
  result.seconds = watch.seconds();
  result.processor_seconds = processor_seconds() - processor_start;
  if (calibrated) result.processor_seconds += calibrated->journal->spent_before();
  return result;
}

}  // namespace bitloom

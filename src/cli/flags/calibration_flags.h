#pragma once
// Flags that say what a calibrated run learns from, and what it may use up.

#include <memory>
#include <string>

#include "calibration/samples.h"
#include "cli/flags/flags.h"
#include "cli/terminal/session.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/quantize_model.h"

namespace bitloom {

struct CalibrationFlags {
  std::string file, format = "plain", rule = "gptq", order = "sequential", activations = "fp32", memory;
  std::string statistics_in, statistics_out;
  int64_t samples = 128, length = 2048;
  uint64_t seed = 0;
  bool length_given = false;
};

/// --calib, --calib-format, --calib-rule, --samples, --seq, --seed, --order, --activations, --mem, --stats,
/// --save-stats.
void add_calibration_flags(FlagSet& app, CalibrationFlags& flags);

/// Chooses the sequences. Without --calib the built-in text is used, and said so; without --seq sequences are as long
/// as the model allows, 2048 at most.
CalibrationData read_calibration(const CalibrationFlags& flags, const Checkpoint& model, Session& session);

/// Everything but the data.
QuantizeOptions options_of(const CalibrationFlags& flags);

}  // namespace bitloom

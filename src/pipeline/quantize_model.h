#pragma once
// Checkpoint in, quantized checkpoint out: walks the matrices, rounds, writes, records. Peak memory is one matrix in
// fp32 rows per thread plus its codes, whatever the model's size.
//
// Goals: output that appears complete or not at all; the same bytes for any number of threads; every byte announced
// before the first is written, and accounted for afterwards; nothing lost silently. Non-goals: which codes are best
// (round/), what a recipe means (recipe/).
//
// What becomes of a tensor that the recipe leaves alone: its bytes are copied. From a bitloom directory a quantized
// matrix is taken over as it is; from a GGUF file so is one whose values a format of ours holds exactly (Q8_0 as
// int8-narrow-g32; see exact_spec.h), and any other is decoded to the narrowest of BF16, F16 and F32 that does. A
// matrix that was quantized before and that the recipe names is decoded and rounded again: allowed, with a remark to
// the progress's log, and errors are against the decoded values.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/ranks.h"
#include "io/json.h"
#include "model/checkpoint.h"
#include "pipeline/activation_store.h"
#include "pipeline/walk_cost.h"
#include "recipe/recipe.h"

namespace bitloom {

/// What the sites of a block read while their statistics are gathered.
enum class WalkOrder {
  kSequential,  // everything before them already quantized, sites of the same block included: one pass per block
  kBlock,       // earlier blocks quantized, their own block as it was: two passes per block
  kNone,        // the float model's activations
};
std::string to_string(WalkOrder order);
WalkOrder parse_walk_order(const std::string& text);

/// Token ids to learn from, and the record of where they come from for the manifest.
struct CalibrationData {
  std::vector<std::vector<int32_t>> sequences;
  Json record;
  int64_t tokens() const;
};

struct QuantizeOptions {
  bool force = false;
  int64_t shard_bytes = int64_t{5} << 30;
  // What follows matters to recipes that need data only.
  const CalibrationData* data = nullptr;
  WalkOrder order = WalkOrder::kSequential;
  ActivationPrecision precision = ActivationPrecision::kF32;
  int64_t memory = 0;  // bytes that the run may hold; 0: no limit
  uint64_t seed = 0;
  bool restart = false;        // discard the journal of an unfinished run
  std::string statistics_in;   // directory of statistics to use instead of data
  std::string statistics_out;  // directory to keep the statistics in
  // Who works on it together: all call with the same arguments, the leading one writes.
  std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>();
};

/// Where the time of a calibrated run went, in seconds. A resumed one counts what it did itself.
struct WalkTimes {
  double forward = 0, statistics = 0, scaling = 0, rounding = 0;
  int64_t tokens = 0;
};

/// One quantized matrix, as shown in the closing table and kept in the manifest.
struct SiteRecord {
  std::string name, storage;
  std::string search;  // how scales were found, as round/target.h spells it: "-mse"
  int64_t rows = 0, cols = 0;
  double bits_nominal = 0, bits_true = 0, weight_error = 0, max_abs_error = 0;
  int64_t saturated = 0, zero_groups = 0;
  int64_t bytes = 0;
  std::string rounding;     // "nearest", "gptq:act-order"; of a matrix taken over: ""
  bool taken_over = false;  // from a quantized source, its values unchanged: no errors to measure
  // Known where the recipe looked at data.
  std::optional<double> output_error;  // mean over tokens of |(W - Q) x|^2 / |W x|^2
  std::optional<double> damping;       // of the second moment, as raised where it had to be
  // Error feedback: largest compensated weight over the largest weight; above 10 the damping is too small.
  std::optional<double> compensation_ratio;
  // Learned rounding: codes that differ from nearest rounding's, and rows for which nearest rounding did better.
  std::optional<int64_t> flipped, rows_kept;
  int64_t tokens = 0, dropped_tokens = 0, dead_channels = 0;
};

struct QuantizeResult {
  std::vector<SiteRecord> sites;
  // Bits per weight of the blocks' linear layers, kept ones as they are stored. `bytes` is the size of the weight
  // files, `bytes_before` the source's.
  double bits_nominal = 0, bits_true = 0;
  // Over all weights of the model.
  double bits_true_model = 0;
  int64_t bytes = 0, bytes_before = 0;
  std::vector<std::string> remarks;  // what the user should know, logged as it was found
  double seconds = 0;
  std::optional<WalkTimes> times;
};

/// Writes OUT (a bitloom directory: config.json with quantization_config, safetensors, tokenizer files, bitloom.json).
/// On ranks that do not lead the result is empty.
/// Error(kUsage) when OUT is the source; Error(kRefused) naming tensor and position for a weight that is not finite.
QuantizeResult quantize_model(const std::shared_ptr<const Checkpoint>& source, const std::string& out,
                              const Recipe& recipe, const QuantizeOptions& options, Context& context);

/// What quantize_model() would take.
struct QuantizeCost {
  int64_t output_bytes = 0, memory = 0, disk = 0;  // memory and disk at their peaks
  double seconds = 0;
  WalkCost walk;  // of a recipe that looks at data
};
QuantizeCost predict_quantization(const std::shared_ptr<const Checkpoint>& source, const Recipe& recipe,
                                  const QuantizeOptions& options, Context& context);

/// What `verify` found right, one line each. Error(kUnverified) for the first thing that is wrong: a file's hash, a
/// non-finite value, a code out of range, a tensor missing from the manifest or the files. Of a model without a
/// manifest (a Hugging Face directory, a GGUF file): shapes and finite values.
std::vector<std::string> verify_model(const std::string& path, Context& context);

Json to_json(const QuantizeResult& result);

}  // namespace bitloom

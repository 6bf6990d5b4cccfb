#pragma once
// Checkpoint in, quantized checkpoint out: walks the matrices, rounds, writes, records. Peak memory is one matrix in
// fp32 rows per thread plus its codes, whatever the model's size.
//
// Goals: output that appears complete or not at all; the same bytes for any number of threads; every byte announced
// before the first is written, and accounted for afterwards; nothing lost silently. Non-goals: which codes are best
// (round/), what a recipe means (recipe/).
//
// What becomes of a tensor that the recipe leaves alone: its bytes are copied. From a GGUF file, whose blocks
// safetensors cannot hold, it is decoded to the narrowest of BF16, F16 and F32 that holds every value exactly. From a
// bitloom directory a quantized matrix is taken over as it is. A matrix that was quantized before and that the recipe
// names is decoded and rounded again: allowed, with a remark to the progress's log, and errors are against the decoded
// values.

#include <string>
#include <vector>

#include "base/context.h"
#include "io/json.h"
#include "model/checkpoint.h"
#include "recipe/recipe.h"

namespace bitloom {

struct QuantizeOptions {
  bool force = false;
  int64_t shard_bytes = int64_t{5} << 30;
};

/// One quantized matrix, as shown in the closing table and kept in the manifest.
struct SiteRecord {
  std::string name, spec;
  int64_t rows = 0, cols = 0;
  double bits_nominal = 0, bits_true = 0, weight_error = 0, max_abs_error = 0;
  int64_t saturated = 0, zero_groups = 0;
  int64_t bytes = 0;
  std::string rounding;     // "nearest", "gptq:act-order"; of a matrix taken over: ""
  bool taken_over = false;  // from a quantized source as it was: no errors measured
};

struct QuantizeResult {
  std::vector<SiteRecord> sites;
  // Over the quantized matrices: bits per weight. `bytes` is the size of the weight files, `bytes_before` the source's.
  double bits_nominal = 0, bits_true = 0;
  // Over all weights of the model.
  double bits_true_model = 0;
  int64_t bytes = 0, bytes_before = 0;
  double seconds = 0;
};

/// Writes OUT (a bitloom directory: config.json with quantization_config, safetensors, tokenizer files, bitloom.json).
/// Error(kUsage) when OUT is the source; Error(kRefused) naming tensor and position for a weight that is not finite.
QuantizeResult quantize_model(const Checkpoint& source, const std::string& out, const Recipe& recipe,
                              const QuantizeOptions& options, Context& context);

/// What `verify` found right, one line each. Error(kUnverified) for the first thing that is wrong: a file's hash, a
/// non-finite value, a code out of range, a tensor missing from the manifest or the files. Of a model without a
/// manifest (a Hugging Face directory, a GGUF file): shapes and finite values.
std::vector<std::string> verify_model(const std::string& path, Context& context);

Json to_json(const QuantizeResult& result);

}  // namespace bitloom

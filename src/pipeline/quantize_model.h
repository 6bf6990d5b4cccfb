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
// int8-narrow-g32; see lossless_target.h), and any other is decoded to the narrowest of BF16, F16 and F32 that does. A
// matrix that was quantized before and that the recipe names is decoded and rounded again: allowed, with a remark to
// the progress's log, and errors are against the decoded values.

#include <string>

#include "base/context.h"
#include "pipeline/output/quantize_result.h"
#include "pipeline/task/quantize_task.h"
#include "pipeline/tuner.h"

namespace bitloom {

/// Writes OUT (a bitloom directory: config.json with quantization_config, safetensors, tokenizer files, bitloom.json).
/// On ranks that do not lead the result is empty. `tuner`: see tunes().
/// Error(kUsage) when OUT is the source; Error(kRefused) naming tensor and position for a weight that is not finite;
/// Error(kFailed) where --mem can never be enough, or the disk has too little room.
QuantizeResult quantize_model(const QuantizeTask& task, const std::string& out, Context& context,
                              const Tuner* tuner = nullptr);

}  // namespace bitloom

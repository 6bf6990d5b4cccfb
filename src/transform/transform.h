#pragma once
// Function-preserving rewrites made before rounding, as values: which one, with which options. Recipes hold them, the
// pipeline carries them out in their order.

#include <cstdint>
#include <variant>

namespace bitloom {

/// What a rotated embedding and the head, which lose the storage that they came in, are stored as where no step of the
/// recipe says it.
enum class OuterStorage {
  kInt8Row,
  kKeep,  // fp32
};

/// Random Hadamard rotation of the residual stream, and of each head's channels between v and output; folded into the
/// weights. transform/rotation/rotation.h. Recipes call it "hadamard".
struct HadamardTransform {
  bool residual = true, heads = true;
  OuterStorage outer = OuterStorage::kInt8Row;
  bool operator==(const HadamardTransform&) const = default;
};

/// Cross-layer equalization; transform/scaling/equalize.h. Recipes call it "equalize". Needs no data.
struct EqualizeTransform {
  bool operator==(const EqualizeTransform&) const = default;
};

/// Activation outliers moved into weights; transform/scaling/smooth.h. Recipes call it "smoothquant".
struct SmoothTransform {
  double alpha = 0.5;
  bool operator==(const SmoothTransform&) const = default;
};

/// Channels of small values raised by powers of two; transform/scaling/preshift.h. Recipes call it "preshift".
struct PreshiftTransform {
  int64_t limit = 3;  // 2^X - 1 for inputs in eXmY
  bool operator==(const PreshiftTransform&) const = default;
};

/// Channel scales searched for the smallest output error after rounding to nearest (AWQ);
/// transform/scaling/scale_search.h. Recipes call it "awq".
struct ScaleSearchTransform {
  int64_t steps = 20;  // exponents 0/steps .. (steps-1)/steps
  bool operator==(const ScaleSearchTransform&) const = default;
};

/// Large channels of an input split, and others that are alike merged, as many as serve its rounding (QLLM);
/// transform/reassembly/reassemble.h. Recipes call it "reassemble".
struct ReassembleTransform {
  double ratio = 0.2;   // of the channels, that may be added at most
  int64_t steps = 100;  // thresholds tried, from the greatest magnitude down to 0
  enum class Parity {
    kNone,
    kPaper,  // equal parts are rounded alike, and the largest outputs decide
  } parity = Parity::kNone;
  bool operator==(const ReassembleTransform&) const = default;
};

/// The mean output error of each quantized layer taken back through its bias; transform/bias_correction.h. Recipes
/// call it "bias-correction". Made after rounding.
struct BiasCorrectionTransform {
  bool operator==(const BiasCorrectionTransform&) const = default;
};

/// Vectors (a frame's scales, norm weights; where asked, what bases have) learned against the original's logits;
/// tune/distill.h. Recipes call it "distill". Made once every block is rounded.
struct DistillTransform {
  int64_t epochs = 3;
  double rate = 0.002;         // Adam's first step, relative to a vector's root mean square
  int64_t batch = 4;           // sequences of a step
  bool bases = false;          // codebooks and scales of bases too
  bool codes = false;          // and codes of additive codebooks: PV-Tuning, tune/learned/code_step.h
  bool weights = false;        // or weights of grids, through rounding: tune/learned/latent_grid.h
  double weight_rate = 0.002;  // of these
  bool formats = false;        // weights, and how minifloats split their bits: tune/learned/learned_format.h
  double format_rate = 0.05;   // of these, in mantissa bits
  enum class Parity {
    kNone,
    kPaper,  // the published gradient of formats
  } parity = Parity::kNone;
  double code_rate = 0.01, changes = 0.01, trust = 0.01, decay = 0;
  int64_t beam = 4;
  bool operator==(const DistillTransform&) const = default;
};

/// What each block's quantized matrices and norms have, learned against what the float block makes of the same input;
/// tune/block_tuner.h. Recipes call it "tune-blocks". Made as soon as a block is rounded.
struct BlockTuningTransform {
  /// What a block is to come close to, reading what the quantized prefix gives it.
  enum class Target {
    kBlock,  // the float block's output from the same input (AQLM)
    kModel,  // the float model's output there
  };
  int64_t epochs = 5;
  double rate = 0.005;  // as of distillation
  int64_t batch = 2;    // sequences of a step
  Target target = Target::kBlock;
  /// Of a low-rank product that is learned for each grid and added to the weights before they are rounded (QLLM);
  /// tune/learned/latent_grid.h. 0: none.
  int64_t correction = 0;
  enum class Parity {
    kNone,   // the sum is rounded in every step
    kPaper,  // codes stay while it is learned; then the sum is rounded to nearest
  } parity = Parity::kNone;
  bool operator==(const BlockTuningTransform&) const = default;
};

using Transform =
    std::variant<HadamardTransform, EqualizeTransform, SmoothTransform, PreshiftTransform, ScaleSearchTransform,
                 ReassembleTransform, BiasCorrectionTransform, BlockTuningTransform, DistillTransform>;

}  // namespace bitloom

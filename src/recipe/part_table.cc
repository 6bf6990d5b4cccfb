// The table of parts: transforms, each with a row here, and the methods of rounding, each with its row in round/. To
// add a transform: its option struct in the variant of transform/transform.h, and a row here.

#include "recipe/parts.h"
#include "round/gptq/gptq.h"
#include "transform/reassembly/reassemble.h"

namespace bitloom {
namespace {

constexpr std::string_view kOuterStorages[] = {"int8-row", "keep"};

constexpr Option kHadamardOptions[] = {
    flag_option<&HadamardTransform::residual>("residual", "rotate the residual stream"),
    flag_option<&HadamardTransform::heads>("heads", "rotate each head's channels between v and output"),
    choice_option<&HadamardTransform::outer>("outer", kOuterStorages, "rotated embedding and head, unless a step says"),
};

constexpr Option kSmoothOptions[] = {
    number_option<&SmoothTransform::alpha>("alpha", 0, 1, "how much of the range moves into the weights"),
};

constexpr Option kPreshiftOptions[] = {
    number_option<&PreshiftTransform::limit>("limit", 0, 31, "greatest power of two; 2^X - 1 for inputs in eXmY"),
};

constexpr Option kScaleSearchOptions[] = {
    number_option<&ScaleSearchTransform::steps>("steps", 1, 1000, "exponents tried: 0 to 1 in so many steps"),
};

constexpr std::string_view kParities[] = {"none", "paper"};

constexpr Option kReassembleOptions[] = {
    number_option<&ReassembleTransform::ratio>("ratio", 0.001, 0.5, "share of an input's channels that may be added"),
    number_option<&ReassembleTransform::steps>("steps", 2, 1000, "thresholds tried, from the greatest magnitude down"),
    choice_option<&ReassembleTransform::parity>(
        "parity", kParities, "paper: parts of a channel rounded alike, outputs' errors not relative"),
};

constexpr Option kDistillOptions[] = {
    number_option<&DistillTransform::epochs>("epochs", 1, 1000, "passes over the sequences it learns from"),
    number_option<&DistillTransform::rate>("rate", 1e-6, 1, "of Adam, relative to each vector; falls to 0"),
    number_option<&DistillTransform::batch>("batch", 1, 4096, "sequences of a step"),
    flag_option<&DistillTransform::bases>("bases", "codebooks and scales of bases too"),
    flag_option<&DistillTransform::codes>("codes", "bases, and codes of additive codebooks too: PV-Tuning"),
    flag_option<&DistillTransform::weights>("weights", "bases, and weights of grids through rounding too: QAT"),
    number_option<&DistillTransform::weight_rate>("weight-rate", 1e-6, 1, "steps of these, relative to the matrix"),
    flag_option<&DistillTransform::formats>("formats", "weights, and how minifloats split their bits too"),
    number_option<&DistillTransform::format_rate>("format-rate", 1e-6, 1, "steps of these, in mantissa bits"),
    choice_option<&DistillTransform::parity>("parity", kParities, "paper: the published gradient of formats"),
    number_option<&DistillTransform::code_rate>("code-rate", 1e-6, 1,
                                                "steps of what codes come near to, relative to weights"),
    number_option<&DistillTransform::changes>("changes", 0, 1,
                                              "share of the groups whose codes are looked at in a step"),
    number_option<&DistillTransform::trust>("trust", 0, 1, "what changed codes may move a matrix by, relative to it"),
    number_option<&DistillTransform::decay>("decay", 0, 1, "of what codes come near to, back to the weights"),
    number_option<&DistillTransform::beam>("beam", 1, 64, "hypotheses of a group that go on"),
};

constexpr std::string_view kTuningTargets[] = {"block", "model"};

constexpr Option kBlockTuningOptions[] = {
    number_option<&BlockTuningTransform::epochs>("epochs", 1, 1000, "passes over the sequences it learns from"),
    number_option<&BlockTuningTransform::rate>("rate", 1e-6, 1, "of Adam, relative to each vector; falls to 0"),
    number_option<&BlockTuningTransform::batch>("batch", 1, 4096, "sequences of a step"),
    choice_option<&BlockTuningTransform::target>("target", kTuningTargets,
                                                 "output of the float block, or of the float model there"),
    number_option<&BlockTuningTransform::correction>(
        "correction", 0, 1024, "rank of a product that is added to weights of grids before they are rounded"),
    choice_option<&BlockTuningTransform::parity>("parity", kParities,
                                                 "paper: codes stay while it is learned, then the sum is rounded"),
};

constexpr Needs kMoment{.second_moment = true};
constexpr Needs kRanges{.range = true};
constexpr Needs kReassembly{.second_moment = true, .range = true, .sample = kReassemblyTokens};
constexpr Needs kMeans{.mean = true};
constexpr Needs kSequences{.sequences = true};
constexpr Needs kBlockOutputs{.block_outputs = true};

std::vector<PartRow> transforms() {
  return {
      {.name = "hadamard",
       .stage = PartStage::kRewrite,
       .defaults = Part(HadamardTransform{}),
       .options = kHadamardOptions,
       .takes_targets = false,
       .help = "random Hadamard rotation, folded into the weights",
       .words = "a Hadamard rotation"},
      {.name = "equalize",
       .stage = PartStage::kRewrite,
       .defaults = Part(EqualizeTransform{}),
       .help = "cross-layer equalization of channel ranges",
       .words = "cross-layer equalization"},
      {.name = "smoothquant",
       .stage = PartStage::kScaling,
       .defaults = Part(SmoothTransform{}),
       .options = kSmoothOptions,
       .needs = kRanges,
       .help = "activation outliers moved into the weights",
       .words = "activation outliers moved into the weights (SmoothQuant)"},
      {.name = "preshift",
       .stage = PartStage::kScaling,
       .defaults = Part(PreshiftTransform{}),
       .options = kPreshiftOptions,
       .needs = kRanges,
       .help = "channels raised by powers of two, folded into what makes them",
       .words = "channels raised by powers of two (LLM-FP4)"},
      {.name = "awq",
       .stage = PartStage::kScaling,
       .defaults = Part(ScaleSearchTransform{}),
       .options = kScaleSearchOptions,
       .needs_a_format = true,
       .needs = kMoment,
       .help = "channel scales searched for the smallest output error",
       .words = "channel scales by search (AWQ)"},
      {.name = "reassemble",
       .stage = PartStage::kReassembly,
       .defaults = Part(ReassembleTransform{}),
       .options = kReassembleOptions,
       .needs_a_format = true,
       .needs = kReassembly,
       .help = "large channels split and similar ones merged, before inputs are rounded",
       .words = "large channels split, similar ones merged (QLLM)"},
      {.name = "bias-correction",
       .stage = PartStage::kAfterwards,
       .defaults = Part(BiasCorrectionTransform{}),
       .needs_a_format = true,
       .needs = kMeans,
       .help = "mean output errors taken back through the biases",
       .words = "biases corrected for the mean error"},
      {.name = "tune-blocks",
       .stage = PartStage::kTuning,
       .defaults = Part(BlockTuningTransform{}),
       .options = kBlockTuningOptions,
       .takes_targets = false,
       .needs_a_format = true,
       .needs = kBlockOutputs,
       .help = "codebooks, scales and norms of a block learned against its float output",
       .words = "codebooks, scales and norms learned block by block"},
      {.name = "distill",
       .stage = PartStage::kTuning,
       .defaults = Part(DistillTransform{}),
       .options = kDistillOptions,
       .takes_targets = false,
       .needs_a_format = true,
       .needs = kSequences,
       .help = "scales and norms learned against the original's logits",
       .words = "scales and norms by distillation"},
  };
}

PartRow part_of_method(const RoundingRow& method) {
  return {.name = method.name,
          .stage = PartStage::kRounding,
          .defaults = method.defaults(),
          .options = method.options,
          .needs_a_format = true,
          .help = method.help,
          .words = method.words};
}

/// In the order in which a recipe names them.
std::vector<PartRow> all_parts() {
  std::vector<PartRow> rows;
  for (const RoundingRow* method : rounding_methods()) rows.push_back(part_of_method(*method));
  for (PartRow& transform : transforms()) rows.push_back(std::move(transform));
  std::stable_sort(rows.begin(), rows.end(), [](const PartRow& a, const PartRow& b) { return a.stage < b.stage; });
  return rows;
}

}  // namespace

std::span<const PartRow> part_rows() {
  static const std::vector<PartRow> rows = all_parts();
  return rows;
}

// GPTAQ (Li et al., 2025) is error feedback that also compensates a quarter of the error of its inputs.
std::span<const PartAlias> part_aliases() {
  static const PartAlias aliases[] = {{"gptaq", Part(GptqRounding{.correction = 0.25})}};
  return aliases;
}

}  // namespace bitloom

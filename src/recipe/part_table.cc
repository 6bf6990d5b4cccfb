// The table of parts. To add one: its option struct in the variant of round/rounding.h or transform/transform.h, and a
// row here.

#include <type_traits>

#include "recipe/parts.h"

namespace bitloom {
namespace {

/// Reads and writes a member of one of Part's alternatives.
template <auto kMember>
struct Access;
template <typename Owner, typename Value, Value Owner::*kMember>
struct Access<kMember> {
  using Type = Value;
  static double get(const Part& part) { return static_cast<double>(std::get<Owner>(part).*kMember); }
  static void set(Part& part, double value) { std::get<Owner>(part).*kMember = static_cast<Value>(value); }
};

/// A number or an integer, as the member's type says.
template <auto kMember>
constexpr Option number(std::string_view name, double low, double high, std::string_view help,
                        std::string_view alias = "") {
  using Type = typename Access<kMember>::Type;
  static_assert(std::is_same_v<Type, double> || std::is_same_v<Type, int64_t>);
  const OptionKind kind = std::is_same_v<Type, double> ? OptionKind::kNumber : OptionKind::kInteger;
  return {name, alias, help, kind, low, high, {}, Access<kMember>::get, Access<kMember>::set};
}

template <auto kMember>
constexpr Option flag(std::string_view name, std::string_view help) {
  static_assert(std::is_same_v<typename Access<kMember>::Type, bool>);
  return {name, "", help, OptionKind::kFlag, 0, 1, {}, Access<kMember>::get, Access<kMember>::set};
}

/// `choices` are spelled in the order of the enumeration.
template <auto kMember>
constexpr Option choice(std::string_view name, std::span<const std::string_view> choices, std::string_view help) {
  static_assert(std::is_enum_v<typename Access<kMember>::Type>);
  return {name,
          "",
          help,
          OptionKind::kChoice,
          0,
          static_cast<double>(choices.size() - 1),
          choices,
          Access<kMember>::get,
          Access<kMember>::set};
}

// ---- options -------------------------------------------------------------------------------------------------------

constexpr std::string_view kOrders[] = {"natural", "act-order", "group-aware"};

// Damping below 1: see make_feedback_factor.
constexpr Option kFeedbackOptions[] = {
    number<&FeedbackRounding::damping>("damping", 0, 0.99, "added to the diagonal, as a share of its mean", "damp"),
    choice<&FeedbackRounding::order>("order", kOrders, "in which columns are rounded"),
    flag<&FeedbackRounding::static_groups>("static-groups", "group scales from the original weights"),
    number<&FeedbackRounding::correction>("correction", 0, 1, "share of the inputs' own error compensated (GPTAQ)"),
};

constexpr Option kLearnedOptions[] = {
    number<&LearnedRounding::iterations>("iterations", 0, 1e6, "steps of gradient descent per matrix"),
    number<&LearnedRounding::regularizer>("regularizer", 0, 1000, "weight of the pull to whole codes"),
    number<&LearnedRounding::ramp>("ramp", 0, 100, "the pull grows as this power of the steps; 0: constant"),
    number<&LearnedRounding::beta_start>("beta-start", 1, 100, "the pull's exponent at first"),
    number<&LearnedRounding::beta_end>("beta-end", 1, 100, "the pull's exponent at last"),
    number<&LearnedRounding::warmup>("warmup", 0, 1, "share of the iterations without the pull"),
    number<&LearnedRounding::learning_rate>("learning-rate", 1e-8, 1, "of Adam"),
    flag<&LearnedRounding::descent>("descent", "flip single codes afterwards while that helps"),
};

constexpr Option kKMeansOptions[] = {
    number<&KMeansRounding::iterations>("iterations", 0, 10000, "turns of Lloyd's algorithm at most"),
    number<&KMeansRounding::outliers>("outliers", 0, 0.5, "share of the weights kept in fp16 beside the codebook"),
};

constexpr Option kHadamardOptions[] = {
    flag<&HadamardTransform::residual>("residual", "rotate the residual stream"),
    flag<&HadamardTransform::heads>("heads", "rotate each head's channels between v and output"),
};

constexpr Option kSmoothOptions[] = {
    number<&SmoothTransform::alpha>("alpha", 0, 1, "how much of the range moves into the weights"),
};

constexpr Option kScaleSearchOptions[] = {
    number<&ScaleSearchTransform::steps>("steps", 1, 1000, "exponents tried: 0 to 1 in so many steps"),
};

// ---- parts ---------------------------------------------------------------------------------------------------------

constexpr Needs kNothing{};
constexpr Needs kMoment{.second_moment = true};
constexpr Needs kRanges{.range = true};
constexpr Needs kMeans{.mean = true};

const PartRow kRows[] = {
    {"hadamard", PartStage::kRewrite, HadamardTransform{}, kHadamardOptions, false, false, kNothing,
     "random Hadamard rotation, folded into the weights", "a Hadamard rotation"},
    {"equalize",
     PartStage::kRewrite,
     EqualizeTransform{},
     {},
     true,
     false,
     kNothing,
     "cross-layer equalization of channel ranges",
     "cross-layer equalization"},
    {"smoothquant", PartStage::kScaling, SmoothTransform{}, kSmoothOptions, true, false, kRanges,
     "activation outliers moved into the weights", "activation outliers moved into the weights (SmoothQuant)"},
    {"awq", PartStage::kScaling, ScaleSearchTransform{}, kScaleSearchOptions, true, true, kMoment,
     "channel scales searched for the smallest output error", "channel scales by search (AWQ)"},
    {"nearest",
     PartStage::kRounding,
     NearestRounding{},
     {},
     true,
     true,
     kNothing,
     "every weight to its nearest level (the default)",
     "rounded to nearest"},
    {"gptq", PartStage::kRounding, FeedbackRounding{}, kFeedbackOptions, true, true, kNothing,
     "each column's error fed into the columns not yet rounded", "rounded with error feedback (GPTQ)"},
    {"adaround", PartStage::kRounding, LearnedRounding{}, kLearnedOptions, true, true, kNothing,
     "up or down, learned for the smallest output error", "rounded up or down as learned (AdaRound)"},
    {"kmeans", PartStage::kRounding, KMeansRounding{}, kKMeansOptions, true, true, kNothing,
     "codebooks with the least squared error (codebook3-col, ...)", "codebooks by k-means"},
    {"bias-correction",
     PartStage::kAfterwards,
     BiasCorrectionTransform{},
     {},
     true,
     true,
     kMeans,
     "mean output errors taken back through the biases",
     "biases corrected for the mean error"},
};

// GPTAQ (Li et al., 2025) is error feedback that also compensates a quarter of the error of its inputs.
const PartAlias kAliases[] = {{"gptaq", FeedbackRounding{.correction = 0.25}}};

}  // namespace

std::span<const PartRow> part_rows() { return kRows; }
std::span<const PartAlias> part_aliases() { return kAliases; }

}  // namespace bitloom

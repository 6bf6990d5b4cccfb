#pragma once
// Recipes at random, for tests of round trips.

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "recipe/parts.h"
#include "round/adaround/adaround.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"

namespace bitloom::testing {

inline uint32_t below(Rng& rng, uint32_t limit) { return rng.next_u32() % limit; }

/// A number of the range in anything from one digit to all of them.
inline double random_value(const Option& option, Rng& rng) {
  const double share = below(rng, 1u << 31) / 2147483648.0;
  const double value = option.low + share * share * share * (option.high - option.low);
  if (option.kind != OptionKind::kNumber) return std::floor(value + 0.5);
  const uint32_t digits = below(rng, 18);
  const double scale = std::pow(10.0, digits);
  const double rounded = std::round(value * scale) / scale;
  return in_range(option, rounded) ? rounded : value;
}

/// A part of the wanted kind with a random half of its options set.
inline Part random_part(bool rounding, Rng& rng) {
  std::vector<const PartRow*> rows;
  for (const PartRow& row : part_rows()) {
    if ((row.stage == PartStage::kRounding) == rounding) rows.push_back(&row);
  }
  const PartRow& row = *rows[below(rng, static_cast<uint32_t>(rows.size()))];
  Part part = row.defaults;
  for (const Option& option : row.options) {
    if (below(rng, 2) == 0) option.set(part, random_value(option, rng));
  }
  return part;
}

/// One that `rounding` rounds onto; each rounding has some here.
inline RoundingTarget random_target(const Rounding& rounding, Rng& rng) {
  static const std::vector<std::string> specs = {"int4-g128",
                                                 "int3-g64-asym",
                                                 "e3m2-row",
                                                 "nf4-g64",
                                                 "mxfp4",
                                                 "nvfp4",
                                                 "table[-1;0;1]-g64",
                                                 "int8-row",
                                                 "int4-g64-mse",
                                                 "int8-p99.9",
                                                 "table[-1e+3;0;2e+7]-row",
                                                 "e5m2-ieee-g32",
                                                 "int2-g32",
                                                 "codebook2.5-col",
                                                 "codebook4-g128",
                                                 "trellis2.5",
                                                 "trellis1-l12+frame-in512-out512",
                                                 "int3-row+frame-in64-outscales",
                                                 "planes-g64-fp8",
                                                 "partial0.1",
                                                 "affine4-g64",
                                                 "affine3-g16-s3x16",
                                                 "affine2-g128-mixed",
                                                 "sign_rank1",
                                                 "aq2x8-g8",
                                                 "vq8-g4",
                                                 "vq4-g2-r64-c128+frame-in64-out64",
                                                 "vq8-g4-c512-s64",
                                                 "e8p+frame-in512-out512",
                                                 "pow4[0.55]-g64",
                                                 "pow3[role]-row-mse",
                                                 "int4-g128+lowrank8-int8-row",
                                                 "int2-g64-asym+lowrank16-int8-row",
                                                 "e2m1-g256-m2mse+lowrank16-e4m3fn-row"};
  std::vector<RoundingTarget> targets;
  for (const std::string& spec : specs) {
    RoundingTarget target = parse_target(spec);
    if (rounds_onto(rounding, target.storage)) targets.push_back(std::move(target));
  }
  return targets.at(below(rng, static_cast<uint32_t>(targets.size())));
}

inline bool accepted(const Recipe& recipe) {
  try {
    check(recipe);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Up to three random transforms that check() accepts together, then a quantize step.
inline Recipe random_short_recipe(Rng& rng) {
  Recipe recipe;
  RecipeStep quantize;
  do {
    quantize.rounding = rounding_of(random_part(true, rng));
    quantize.quantize = random_target(quantize.rounding, rng);
  } while (!accepted({"", "", "", {quantize}}));  // options may clash
  const char* formats[] = {"int8-token", "e4m3fn-tensor",   "int4-g32",  "int8-asym-tensor-p99.9",
                           "mxfp4",      "int8-tensor-mse", "nvfp4-p99", "int4-tensor-at[2.5]"};
  if (below(rng, 4) == 0) quantize.activations = parse_activation_format(formats[below(rng, 8)]);
  recipe.steps = {quantize};
  for (const char* role : {"head", "embedding"}) {
    if (below(rng, 4) != 0) continue;
    RecipeStep outside;
    outside.quantize = random_target(outside.rounding, rng);
    outside.targets = {role};
    recipe.steps.push_back(outside);
  }
  for (const auto& targets :
       std::vector<std::vector<std::string>>{{"keys", "values"}, {"queries"}, {"probabilities"}}) {
    if (below(rng, 8) != 0) continue;
    RecipeStep operands;
    operands.attention = parse_activation_format(below(rng, 2) == 0 ? "int4-asym-token" : "int8-g32");
    operands.targets = targets;
    recipe.steps.push_back(operands);
  }
  const auto of_blocks = static_cast<std::ptrdiff_t>(recipe.steps.size());  // counted from the end
  for (uint32_t tries = below(rng, 4); tries > 0; --tries) {
    Recipe longer = recipe;
    RecipeStep step;
    step.transform = transform_of(random_part(false, rng));
    longer.steps.insert(longer.steps.end() - of_blocks, step);
    if (accepted(longer)) recipe = longer;
  }
  return recipe;
}

}  // namespace bitloom::testing

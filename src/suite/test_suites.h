#pragma once
// For tests only: a small suite, and what Error it is refused with.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/test_data.h"
#include "suite/plan.h"
#include "suite/suite.h"

namespace bitloom::testing {

/// Two recipes and the model as it is, a reference that all share, an evaluation of each.
inline const char* kSmallSuite = R"(
title: Two recipes
files: {text: assets/demo/evaluation.txt}
variables: {windows: 2}
models: [{name: demo, path: assets/demo}]
recipes: [original, int8-row, {name: four, recipe: int4-g32}]
evaluations:
  - {name: reference, run: "eval kl {source} --save-ref {out} --text {text} --windows {windows}"}
  - name: kl
    run: eval kl {quantized} --ref {reference} --text {text} --windows {windows}
    skip: [original]
  - {name: ppl, run: "eval ppl {quantized} --text {text} --windows {windows}"}
tables:
  - caption: "On {text}, {kl.tokens} tokens."
    columns:
      - {title: recipe, text: "{recipe}"}
      - {title: bits, value: quantize.bits_true, as: bits}
      - {title: KL, value: kl.kl_mean, interval: kl.kl_ci95}
      - {title: perplexity, value: [kl.ppl, ppl.ppl], as: perplexity}
)";

inline Suite small_suite() { return parse_suite(kSmallSuite, "suites/small.yaml"); }

inline Plan plan_of(const Suite& suite) {
  return make_plan(suite, [](const std::vector<std::string>&) {});
}

/// The message that `work` must be refused with.
template <typename Work>
std::string refusal(const Work& work, ErrorKind kind = ErrorKind::kUsage) {
  return testing::message_of(kind, [&] { work(); });
}

}  // namespace bitloom::testing

#pragma once
// Many models judged on the same tokens, against one reference.
//
// Goals: the reference runs once, each other model once, one at a time in memory; every figure of every model comes
// from the same scored positions, so that differences are the models' own.
// Non-goals: quantizing; tables and pages, which are made of what is returned here.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/divergence.h"
#include "eval/perplexity.h"
#include "eval/positions.h"
#include "judge/evaluation_text.h"
#include "judge/model_figures.h"
#include "judge/skills.h"

namespace bitloom {

struct ComparePlan {
  std::vector<std::string> models;
  std::string reference;  // a model or a file made by --save-ref; may be "" with `per_byte`
  TextOptions text;
  bool per_byte = false;      // no KL: each model reads the text with its own tokenizer
  int64_t speed_tokens = 32;  // generated to measure tokens/s; 0: not measured
  SkillPlan skills;
};

/// A span of the text and what is known of each of its tokens.
struct JudgedSpan {
  TokenSpan span;
  std::vector<RowDivergence> rows;
};

struct ComparedModel {
  std::string path, name;  // names are unique
  ModelSize size;
  Json manifest;  // null when there is none
  PerplexityResult perplexity;
  double tokens_per_second = 0;
  std::vector<Skill> skills;
  std::optional<double> calibrated_on;  // share of the text, where that is known
  // Against the reference; none for itself and with `per_byte`.
  std::optional<DivergenceResult> kl;
  std::vector<PositionBin> by_position;
  JudgedSpan opening;             // the first scored tokens of the text, the same for all
  std::vector<JudgedSpan> worst;  // worst first
};

struct Comparison {
  std::vector<ComparedModel> models;  // the reference first, unless it is a file or there is none
  bool has_reference_model = false;
  std::shared_ptr<const Checkpoint> reader;  // whose tokenizer reads the text (with `per_byte`: the first model's)
  EvaluationText text;
};

/// What the reference scores where `model` scores skill `i`; null for the reference itself and without one.
const Skill* reference_skill(const Comparison& comparison, const ComparedModel& model, size_t i);

/// Error(kRefused) before any model runs when two models read the text as different tokens: it says which, and what to
/// do instead. Error(kUsage) for options that contradict each other, named as `bitloom compare` has them.
Comparison compare_models(const ComparePlan& plan, Context& context, const Warn& warn);

/// Provenance, and a record for each model.
Json to_json(const ComparePlan& plan, const Comparison& comparison);

}  // namespace bitloom

#include "judge/skills.h"

#include <fmt/format.h>

#include <cmath>
#include <tuple>

#include "base/error.h"
#include "eval/arithmetic/study.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

constexpr int kShots = 8;  // solved additions before each: the paper's most

arithmetic::ProblemSet additions(const SkillPlan& plan) {
  arithmetic::GeneratorOptions options;
  std::tie(options.low, options.high) = arithmetic::parse_lengths(plan.digits, "--arithmetic");
  options.count = plan.limit;
  options.max_shots = kShots;
  return generate_problems(options);
}

/// Perplexity is the exponential of a mean of log-likelihoods; every other metric counts items that are right.
Skill skill_of(const TaskResult& result, const MetricResult& metric) {
  Skill skill{.task = result.task.name, .metric = metric.name, .value = metric.value};
  skill.standard_error = metric.standard_error;
  skill.right_or_wrong = metric.name != "perplexity";
  for (const ItemResult& item : result.items) {
    skill.items.push_back(item.index);
    skill.scores.push_back(item.verdicts.at(metric.name).value);
  }
  return skill;
}

}  // namespace

PairedSkill pair_skills(const Skill& reference, const Skill& model) {
  if (reference.task != model.task || reference.metric != model.metric || reference.items != model.items)
    fail(ErrorKind::kFailed, "{} {} and {} {} are not of the same items", reference.task, reference.metric, model.task,
         model.metric);
  PairedSkill out{.difference = paired_difference(reference.scores, model.scores), .answers = {}};
  if (model.right_or_wrong)
    out.answers = mcnemar(std::vector<uint8_t>(reference.scores.begin(), reference.scores.end()),
                          std::vector<uint8_t>(model.scores.begin(), model.scores.end()));
  return out;
}

SkillTest::SkillTest(const SkillPlan& plan) : plan_(plan) {
  for (const std::string& name : plan.tasks) {
    tasks_.push_back(load_task(name));
    find_task_data(tasks_.back(), plan.data);
  }
  if (!plan.digits.empty()) problems_ = additions(plan);
}

std::vector<Skill> SkillTest::judge(const Checkpoint& model, Decoder& decoder, Context& context) const {
  std::vector<Skill> out;
  if (empty()) return out;
  const std::unique_ptr<LogitsSource> logits = logits_of_steps(decoder);
  TaskOptions options;
  options.data = plan_.data;
  options.limit = plan_.limit;
  options.end_ids = end_ids(model.graph(), model.tokenizer());
  for (const Task& task : tasks_) {
    const TaskResult result = run_task(task, *logits, model.tokenizer(), options, context);
    for (const MetricResult& metric : result.metrics) out.push_back(skill_of(result, metric));
  }
  if (!problems_.problems.empty()) out.push_back(addition(model, *logits, context));
  return out;
}

Skill SkillTest::addition(const Checkpoint& model, LogitsSource& logits, Context& context) const {
  arithmetic::StudyOptions options;
  options.conditions = {arithmetic::parse_condition("nosep")};
  options.shots = {kShots};
  options.end_ids = end_ids(model.graph(), model.tokenizer());
  const arithmetic::Prompter prompter(model.tokenizer(), arithmetic::ChatRenderer());
  const arithmetic::Study study = run_study(logits, prompter, problems_, options, context);
  Skill skill{.task = "addition " + plan_.digits, .metric = "acc", .right_or_wrong = true};
  for (const arithmetic::Row& row : study.rows) {
    skill.items.push_back(row.problem);
    skill.scores.push_back(row.metrics.kind == arithmetic::AnswerKind::kCorrect ? 1 : 0);
  }
  const PairedDifference mean = paired_difference(std::vector<double>(skill.scores.size()), skill.scores);
  skill.value = mean.mean;
  skill.standard_error = mean.items > 1 ? mean.standard_error : NAN;
  return skill;
}

}  // namespace bitloom

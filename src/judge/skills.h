#pragma once
// What a model gets right besides predicting a text, item by item, so that two models can be compared on the same
// items: published tasks, and addition.

#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/arithmetic/problem/problems.h"
#include "eval/statistics/paired.h"
#include "eval/tasks/run_task.h"
#include "forward/decoder.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct SkillPlan {
  std::vector<std::string> tasks;
  std::string data;    // folder of the tasks' data files; "": the records that come with bitloom
  std::string digits;  // lengths of addends, "1-3"; "": no addition
  int64_t limit = 0;   // records of each task, and additions; 0: all, and as many as `eval arithmetic` asks
};

/// One metric of one task.
struct Skill {
  std::string task, metric;
  double value = 0, standard_error = 0;  // the latter not finite for a single item
  bool right_or_wrong = false;           // what scores are: 1 or 0; else log-likelihoods
  std::vector<int64_t> items = {};       // number of each record
  std::vector<double> scores = {};       // of each item
};

/// The same metric of another model. `answers` where items are right or wrong.
struct PairedSkill {
  PairedDifference difference;
  std::optional<McNemar> answers;
};

/// Error(kFailed) when they are not of the same items.
PairedSkill pair_skills(const Skill& reference, const Skill& model);

class SkillTest {
 public:
  /// Error(kUsage) for unknown tasks, missing data and lengths that make no sense: before any model runs.
  explicit SkillTest(const SkillPlan& plan);
  bool empty() const { return tasks_.empty() && problems_.problems.empty(); }
  /// In the order of the plan, addition last.
  std::vector<Skill> judge(const Checkpoint& model, Decoder& decoder, Context& context) const;

 private:
  Skill addition(const Checkpoint& model, LogitsSource& logits, Context& context) const;

  SkillPlan plan_;
  std::vector<Task> tasks_;
  arithmetic::ProblemSet problems_;
};

}  // namespace bitloom

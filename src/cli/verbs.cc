#include <vector>

#include "cli/verb.h"

namespace bitloom {

std::span<const Verb> verbs() {
  static const std::vector<Verb> list = {
      quantize_verb(), eval_ppl_verb(), eval_kl_verb(), eval_tasks_verb(), eval_arithmetic_verb(), compare_verb(),
      suite_verb(),    run_verb(),      chat_verb(),    serve_verb(),      tokenize_verb(),        bench_verb(),
      info_verb(),     formats_verb(),  cost_verb(),    pareto_verb(),     recipes_verb(),         verify_verb(),
      export_verb(),   tune_verb(),     demo_verb(),
  };
  return list;
}

}  // namespace bitloom

// The verbs of a program that is built to run and judge models only.
#include <vector>

#include "cli/verb.h"

namespace bitloom {

std::span<const Verb> verbs() {
  static const std::vector<Verb> list = {
      run_verb(), chat_verb(), bench_verb(), eval_ppl_verb(), eval_kl_verb(), tokenize_verb(),
  };
  return list;
}

}  // namespace bitloom

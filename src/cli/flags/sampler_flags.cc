#include "cli/flags/sampler_flags.h"

#include <fmt/format.h>

#include <limits>

#include "cli/flags/common_flags.h"
#include "runtime/lookup.h"

namespace bitloom {

void add_sampler_flags(FlagSet& app, SamplerOptions& sampler) {
  app.add_option("--temp", sampler.temperature, "temperature; 0 always takes the likeliest token")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--top-k", sampler.top_k, "choose among the K likeliest tokens; 0: all")
      ->type_name("K")
      ->check(integer_in(0, std::numeric_limits<int>::max()))
      ->capture_default_str();
  app.add_option("--top-p", sampler.top_p, "choose among the likeliest that make up this share; 1: all")
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--min-p", sampler.min_p, "drop what is less likely than P x the likeliest; 0: none")
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--repeat-penalty", sampler.repeat_penalty, "make the last 64 tokens less likely; 1: off")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--seed", sampler.seed, "same seed, same text")
      ->type_name("N")
      ->check(integer_from(0))
      ->capture_default_str();
}

void add_lookup_flag(FlagSet& app, int64_t& lookup) {
  app.add_option("--lookup", lookup, "guess N tokens ahead from text before: the same text; 0: off")
      ->type_name("N")
      ->check(integer_in(0, kMostGuesses))
      ->capture_default_str();
}

std::string lookup_remark(const GenerateResult& result, int64_t lookup) {
  if (lookup == 0) return "";
  return fmt::format("; guessed: {} of {} right", result.accepted_tokens, result.guessed_tokens);
}

}  // namespace bitloom

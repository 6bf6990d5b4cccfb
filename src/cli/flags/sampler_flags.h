#pragma once
// Flags of generation: the choice of the next token, and guesses of those behind it.

#include <string>

#include "cli/flags/flags.h"
#include "runtime/generate.h"

namespace bitloom {

/// --temp, --top-k, --top-p, --min-p, --repeat-penalty, --seed
void add_sampler_flags(FlagSet& app, SamplerOptions& sampler);
/// --lookup
void add_lookup_flag(FlagSet& app, int64_t& lookup);
/// "; guessed: 12 of 30 right": what a log adds to its line; empty where nothing was to be guessed.
std::string lookup_remark(const GenerateResult& result, int64_t lookup);

}  // namespace bitloom

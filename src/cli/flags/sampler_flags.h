#pragma once
// Flags of the choice of the next token.

#include "cli/flags/flags.h"
#include "runtime/sampler.h"

namespace bitloom {

/// --temp, --top-k, --top-p, --min-p, --repeat-penalty, --seed
void add_sampler_flags(FlagSet& app, SamplerOptions& sampler);

}  // namespace bitloom

#pragma once
// Flags that turn a file into the windows that an evaluation scores.

#include "cli/flags/flags.h"
#include "judge/evaluation_text.h"

namespace bitloom {

/// --text, --text-format, --protocol, -c, --windows, --bos. `usual_context` is for the help text.
void add_text_flags(FlagSet& app, TextOptions& options, int64_t usual_context);

}  // namespace bitloom

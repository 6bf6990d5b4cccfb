#pragma once
// Whether a model's files are what they should be.

#include <string>
#include <vector>

#include "base/context.h"

namespace bitloom {

/// What `verify` found right, one line each. Error(kUnverified) for the first thing that is wrong: a file's hash, a
/// non-finite value, a code out of range, a tensor missing from the manifest or the files. Of a model without a
/// manifest (a Hugging Face directory, a GGUF file): shapes and finite values.
std::vector<std::string> verify_model(const std::string& path, Context& context);

}  // namespace bitloom

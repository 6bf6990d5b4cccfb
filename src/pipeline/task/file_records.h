#pragma once
// What is written down of files: sizes and hashes. They say which model a quantized one, a journal or kept statistics
// were made from.

#include <string>
#include <vector>

#include "base/context.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

inline constexpr const char* kConfigFile = "config.json";

/// {"sha256", "bytes"} of each file, in the order of `paths`; hashed on all threads, with progress.
std::vector<Json> describe_files(const std::vector<std::string>& paths, Context& context);
/// The same of a file's contents.
Json describe_text(const std::string& contents);
/// {name: {sha256, bytes}} of the model's weight files.
Json hash_files(const Checkpoint& source, Context& context);
/// The manifest's "source", without the weight files' entries: name, kind, hashes of config.json and the tokenizer's
/// files.
Json source_of(const Checkpoint& source);

}  // namespace bitloom

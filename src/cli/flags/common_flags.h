#pragma once
// Flags that mean the same on every verb that has them.

#include <functional>
#include <optional>
#include <string>

#include "cli/flags/flags.h"
#include "cli/terminal/session.h"
#include "kernels/cached_attention/kv_format.h"

namespace bitloom {

/// MODEL, or -m for those used to it. Required.
void add_model_flag(FlagSet& app, std::string& model);
/// -p TEXT or -f FILE, one of the two; FILE "-" is standard input.
struct InputFlags {
  std::optional<std::string> text, file;
};
void add_input_flags(FlagSet& app, InputFlags& input, const std::string& what);
/// Error(kUsage) naming `verb` when neither was given.
std::string read_input(const InputFlags& input, const std::string& verb);

/// A check for add_option(...)->check(): empty for an integer in [low, high], else what is wrong with it.
std::function<std::string(const std::string&)> integer_in(int64_t low, int64_t high);
/// An integer of at least `low`.
std::function<std::string(const std::string&)> integer_from(int64_t low);

/// --exact, of verbs whose products round their inputs to 8 bits (ops/activations.h) unless told.
void add_exact_flag(FlagSet& app, bool& exact);
/// --fast, of verbs that read inputs as fp32 unless told.
void add_fast_flag(FlagSet& app, bool& fast);
/// --kv, of verbs that keep keys and values from token to token.
struct KvFlag {
  std::string name = "fp32";
  KvFormat format() const { return *find_kv_format(name); }
};
void add_kv_flag(FlagSet& app, KvFlag& kv);

/// -t, --threads
void add_threads_flag(FlagSet& app, Session& session);
/// --json
void add_json_flag(FlagSet& app, Session& session);

}  // namespace bitloom

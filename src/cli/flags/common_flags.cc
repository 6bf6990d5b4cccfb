#include "cli/flags/common_flags.h"

#include <fmt/ranges.h>

#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

}  // namespace

void add_model_flag(FlagSet& app, std::string& model) {
  app.add_option("MODEL,-m,--model", model, "Hugging Face directory, bitloom directory or GGUF file")
      ->type_name("MODEL")
      ->required();
}

void add_input_flags(FlagSet& app, InputFlags& input, const std::string& what) {
  auto* text = app.add_option("-p,--prompt", input.text, what)->type_name("TEXT");
  app.add_option("-f,--file", input.file, "the same from a file; - reads standard input")
      ->type_name("FILE")
      ->excludes(text);
}

std::string read_input(const InputFlags& input, const std::string& verb) {
  if (input.text) return *input.text;
  if (!input.file)
    misuse("{}: -p TEXT or -f FILE is required, and -f - reads standard input; see 'bitloom {} --help'", verb, verb);
  return *input.file == "-" ? read_standard_input() : read_text(*input.file);
}

std::function<std::string(const std::string&)> integer_in(int64_t low, int64_t high) {
  return [low, high](const std::string& text) {
    int64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && stop == text.data() + text.size();
    if (whole && value >= low && value <= high) return std::string();
    if (high == kUnlimited) return fmt::format("'{}' is no integer of at least {}", text, low);
    return fmt::format("'{}' is no integer from {} to {}", text, low, high);
  };
}

std::function<std::string(const std::string&)> integer_from(int64_t low) { return integer_in(low, kUnlimited); }

void add_exact_flag(FlagSet& app, bool& exact) {
  app.add_flag("--exact", exact, "inputs of products as fp32, not rounded to 8 bits");
}

void add_fast_flag(FlagSet& app, bool& fast) {
  app.add_flag("--fast", fast, "inputs of products rounded to 8 bits, as run does");
}

void add_kv_flag(FlagSet& app, KvFlag& kv) {
  const auto check = [](const std::string& text) {
    std::vector<std::string> allowed;
    for (const KvFormat format : every_kv_format()) allowed.emplace_back(name_of(format));
    if (find_kv_format(text)) return std::string();
    return fmt::format("'{}'{}; allowed: {}", text, did_you_mean(text, allowed), fmt::join(allowed, ", "));
  };
  app.add_option("--kv", kv.name, "keys and values as fp32, fp16 (to 65504), bf16, int8 or fp8")
      ->type_name("FORMAT")
      ->check(check)
      ->capture_default_str();
}

void add_threads_flag(FlagSet& app, Session& session) {
  app.add_option("-t,--threads", session.threads, "threads (default: one per processor)")
      ->type_name("N")
      ->check(integer_in(1, 1024));
}

void add_json_flag(FlagSet& app, Session& session) {
  app.add_flag("--json", session.json, "print one JSON object instead of text");
}

}  // namespace bitloom

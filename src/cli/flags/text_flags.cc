#include "cli/flags/text_flags.h"

#include <fmt/format.h>

#include "cli/flags/common_flags.h"

namespace bitloom {
namespace {

constexpr int64_t kMaxContext = int64_t{1} << 24;

}  // namespace

void add_text_flags(FlagSet& app, TextOptions& options, int64_t usual_context) {
  app.add_option("-f,--text", options.file, "text to score")->type_name("FILE")->required();
  app.add_option("--text-format", options.format, "plain, hf-rows or jsonl:FIELD")
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--protocol", options.protocol, "gptq, llamacpp or rolling")->type_name("NAME")->capture_default_str();
  app.add_option("-c,--context", options.context,
                 fmt::format("tokens in a window (default {}, or the model's own if less)", usual_context))
      ->type_name("N")
      ->check(integer_in(2, kMaxContext));
  app.add_option("--windows", options.windows, "score only the first N windows (default: all)")
      ->type_name("N")
      ->check(integer_from(1));
  app.add_option("--bos", options.bos, "BOS first: auto (as the tokenizer does), none or always")
      ->type_name("POLICY")
      ->capture_default_str();
}

}  // namespace bitloom

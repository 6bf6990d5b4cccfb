#include <fmt/format.h>

#include "base/error.h"
#include "chat/chat_template.h"
#include "cli/flags/adapter_flag.h"
#include "cli/flags/common_flags.h"
#include "cli/flags/sampler_flags.h"
#include "cli/verb.h"
#include "forward/weights.h"
#include "model/checkpoint/checkpoint.h"
#include "report/numbers.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model;
  AdapterFlag adapter;
  InputFlags input;
  bool chat = false, exact = false;
  std::optional<std::string> system;
  KvFlag kv;
  GenerateOptions options;
};

Json record_of(const Flags& flags, const std::string& prompt, const GenerateResult& result,
               const RoundedProducts& products) {
  Json record = {{"model", flags.model},
                 {"chat", flags.chat},
                 {"prompt", prompt},
                 {"text", result.text},
                 {"stop", result.stop},
                 {"ids", result.ids},
                 {"prompt_ids", result.prompt_ids},
                 {"prompt_tokens", result.prompt_ids.size()},
                 {"tokens", result.ids.size()},
                 {"prompt_tokens_per_second", result.prompt_tokens_per_second()},
                 {"tokens_per_second", result.tokens_per_second()},
                 {"guessed_tokens", result.guessed_tokens},
                 {"accepted_tokens", result.accepted_tokens},
                 {"seed", flags.options.sampler.seed}};
  if (products.all() > 0) record["products"] = to_json(products);
  return record;
}

/// The input as a user's message, ready for the answer. A system text goes into that message when the model's template
/// has no place for one.
std::string rendered_chat(const Flags& flags, const std::string& input, const Checkpoint& model, Session& session) {
  const ChatTemplate chat = model.chat_template();
  std::vector<ChatMessage> messages = {{"user", input}};
  if (flags.system) messages.insert(messages.begin(), {"system", *flags.system});
  if (flags.system && !chat.accepts_system()) {
    session.progress().log("the chat template has no system message: its text begins the user's message");
  }
  return chat.render(chat.with_system_folded(messages));
}

/// What the text begins with. A file or pipe loses the line break that editors and echo end it with, as in llama.cpp:
/// what follows it is another text than what follows the last word.
std::string prompt_of(const InputFlags& input) {
  std::string text = read_input(input, "run");
  if (input.file && text.ends_with('\n')) text.pop_back();
  return text;
}

void generate_text(Flags flags, Session& session) {
  if (flags.system && !flags.chat) misuse("run: --system needs --chat");
  flags.options.kv = flags.kv.format();
  const std::string input = prompt_of(flags.input);
  const auto model = open_model(flags.model, flags.adapter, session);
  const std::string prompt = flags.chat ? rendered_chat(flags, input, *model, session) : input;
  Decoder decoder(model, session.context().threads, flags.exact ? Activations::kExact : Activations::kInt8);
  const bool streams = !session.json;
  const auto on_text = [streams](const std::string& text) {
    if (streams) write_output(text);
  };
  const Tokenizer& tokenizer = model->tokenizer();
  const GenerateResult result =
      flags.chat ? generate(decoder, tokenizer, encode_chat(tokenizer, prompt), flags.options, on_text)
                 : generate(decoder, tokenizer, prompt, flags.options, on_text);
  const RoundedProducts products = decoder.rounded_products();
  session.show(flags.adapter.noted(record_of(flags, prompt, result, products)), "\n");
  session.progress().log(fmt::format("prompt: {} tokens, {} tokens/s; generated: {} tokens, {} tokens/s; stopped: {}{}",
                                     result.prompt_ids.size(), format_rate(result.prompt_tokens_per_second()),
                                     result.ids.size(), format_rate(result.tokens_per_second()), result.stop,
                                     lookup_remark(result, flags.options.lookup)));
  if (products.all() > 0) session.progress().log(to_string(products));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  add_adapter_flag(app, flags->adapter);
  add_input_flags(app, flags->input, "what the text begins with");
  app.add_flag("--chat", flags->chat, "the text is a message to an instruct model, by its chat template");
  app.add_option("--system", flags->system, "with --chat: the system message")->type_name("TEXT");
  app.add_option("-n,--tokens", flags->options.max_tokens, "most tokens to generate")
      ->type_name("N")
      ->check(integer_from(1))
      ->capture_default_str();
  add_sampler_flags(app, flags->options.sampler);
  add_lookup_flag(app, flags->options.lookup);
  add_exact_flag(app, flags->exact);
  add_kv_flag(app, flags->kv);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { generate_text(*flags, session); };
}

}  // namespace

Verb run_verb() {
  return {"run",
          "continue a text",
          "MODEL -p TEXT | -f FILE [flags]",
          {"bitloom run assets/demo -p \"Once upon a time\"",
           "bitloom run SmolLM2.gguf --chat -p \"What is 12 + 30?\" --temp 0"},
          setup};
}

}  // namespace bitloom

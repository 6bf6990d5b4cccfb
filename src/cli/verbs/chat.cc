#include <fmt/format.h>

#include <csignal>
#include <limits>

#include "base/error.h"
#include "chat/chat_template.h"
#include "cli/flags/adapter_flag.h"
#include "cli/flags/common_flags.h"
#include "cli/flags/sampler_flags.h"
#include "cli/terminal/line_reader.h"
#include "cli/verb.h"
#include "io/directory/output_file.h"
#include "model/checkpoint/checkpoint.h"
#include "report/numbers.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model;
  AdapterFlag adapter;
  bool exact = false;
  KvFlag kv;
  std::optional<std::string> system;
  GenerateOptions options{.max_tokens = std::numeric_limits<int64_t>::max(), .sampler = {}};
};

constexpr const char* kHelp =
    "  /reset      forget the conversation, but not the system message\n"
    "  /save FILE  write the conversation to FILE as JSON\n"
    "  /help       this\n"
    "  /quit       end; Ctrl-D does, too\n"
    "Ctrl-C stops an answer. A line that ends in \\ goes on in the next one; pasted text keeps its lines.";

/// A conversation with a model: its messages, and the sequence of tokens that they are.
class Conversation {
 public:
  Conversation(const Flags& flags, const std::shared_ptr<const Checkpoint>& model, Session& session, bool on_terminal)
      : flags_(flags),
        session_(session),
        on_terminal_(on_terminal),
        template_(model->chat_template()),
        tokenizer_(model->tokenizer()),
        decoder_(model, session.context().threads, flags.exact ? Activations::kExact : Activations::kInt8),
        sequence_(decoder_, flags.kv.format()) {
    if (flags.system && !template_.accepts_system())
      session.progress().log("the chat template has no system message: its text begins the first message");
    reset();
  }

  void reset() {
    messages_.clear();
    answers_ = Json::array();
    if (flags_.system) messages_.push_back({"system", *flags_.system});
  }

  /// Streams the model's answer. What cannot be answered is no part of the conversation.
  void answer(const std::string& text) {
    messages_.push_back({"user", text});
    try {
      const GenerateResult result = generate_answer();
      messages_.push_back({"assistant", result.text});
      tell(result);
    } catch (const Error&) {
      messages_.pop_back();
      throw;
    }
  }

  Json record() const {
    Json messages = Json::array();
    for (const ChatMessage& message : messages_)
      messages.push_back({{"role", message.role}, {"content", message.content}});
    return {
        {"model", flags_.model}, {"messages", messages}, {"answers", answers_}, {"seed", flags_.options.sampler.seed}};
  }

 private:
  void tell(const GenerateResult& result) {
    answers_.push_back({{"prompt_tokens", result.prompt_ids.size()},
                        {"kept_tokens", result.kept_tokens},
                        {"tokens", result.ids.size()},
                        {"tokens_per_second", result.tokens_per_second()},
                        {"guessed_tokens", result.guessed_tokens},
                        {"accepted_tokens", result.accepted_tokens},
                        {"stop", result.stop}});
    const int64_t context = decoder_.graph().max_positions;
    session_.progress().log(fmt::format(
        "{} tokens, {} tokens/s; {}{} of the context{}{}", result.ids.size(), format_rate(result.tokens_per_second()),
        sequence_.ids().size(), context > 0 ? fmt::format("/{} tokens", context) : " tokens",
        result.stop == "end of text" ? "" : "; stopped: " + result.stop, lookup_remark(result, flags_.options.lookup)));
  }

  GenerateResult generate_answer() {
    const std::string prompt = template_.render(template_.with_system_folded(messages_));
    std::vector<int32_t> ids = encode_chat(tokenizer_, prompt);
    const int64_t context = decoder_.graph().max_positions;
    if (context > 0 && static_cast<int64_t>(ids.size()) > context)
      refuse("the conversation has {} tokens, the model's context is {}: /reset begins a new one", ids.size(), context);
    const bool streams = !session_.json;
    const GenerateResult result = generate(
        sequence_, tokenizer_, std::move(ids), flags_.options,
        [streams](const std::string& piece) {
          if (streams) write_output(piece);
        },
        [this] { return interrupted(); });
    if (streams) write_output("\n");
    return result;
  }

  /// At a terminal Ctrl-C ends the answer alone.
  bool interrupted() const {
    if (!on_terminal_ || noted_signal_number() != SIGINT) {
      stop_if_interrupted();
      return false;
    }
    forget_signal();
    return true;
  }

  const Flags& flags_;
  Session& session_;
  bool on_terminal_;
  ChatTemplate template_;
  const Tokenizer& tokenizer_;
  Decoder decoder_;
  CachedSequence sequence_;
  std::vector<ChatMessage> messages_;
  Json answers_;  // what of each is counted
};

/// Without blanks at its ends.
std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\n"), end = text.find_last_not_of(" \t\n");
  return begin == std::string::npos ? "" : text.substr(begin, end + 1 - begin);
}

void save(const Conversation& conversation, const std::string& path) {
  if (path.empty()) misuse("/save FILE: the file is missing");
  replace_file(path, json_text(conversation.record()));
}

/// "/save notes.json": false to end.
bool obey(Conversation& conversation, Session& session, const std::string& line) {
  const size_t blank = std::min(line.find(' '), line.size());
  const std::string command = line.substr(0, blank);
  const std::string argument = trimmed(line.substr(blank));
  if (command == "/quit" || command == "/exit") return false;
  if (command == "/help") {
    session.progress().log(kHelp);
  } else if (command == "/reset") {
    conversation.reset();
  } else if (command == "/save") {
    save(conversation, argument);
    session.progress().log("saved to " + argument);
  } else {
    misuse("{} is no command; allowed: /reset, /save FILE, /help, /quit. A message may begin with a blank", command);
  }
  return true;
}

bool take(Conversation& conversation, Session& session, const std::string& line) {
  if (trimmed(line).empty()) return true;
  if (line.starts_with('/')) return obey(conversation, session, line);
  conversation.answer(line);
  return true;
}

void converse(const Flags& flags, Session& session) {
  const auto model = open_model(flags.model, flags.adapter, session);
  LineReader reader;
  Conversation conversation(flags, model, session, reader.is_terminal());
  if (reader.is_terminal()) session.progress().log("/help tells what can be typed; Ctrl-D ends.");
  bool more = true;
  while (more) {
    const std::optional<std::string> line = reader.read("> ");
    if (!line) break;
    try {
      more = take(conversation, session, *line);
    } catch (const Error& error) {
      if (!reader.is_terminal()) throw;
      session.progress().log(error.what());
    }
  }
  if (session.json) session.show(conversation.record(), "");
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  add_adapter_flag(app, flags->adapter);
  app.add_option("--system", flags->system, "the system message")->type_name("TEXT");
  app.add_option("-n,--tokens", flags->options.max_tokens,
                 "most tokens of an answer (default: until the context is full)")
      ->type_name("N")
      ->check(integer_from(1));
  add_sampler_flags(app, flags->options.sampler);
  add_lookup_flag(app, flags->options.lookup);
  add_exact_flag(app, flags->exact);
  add_kv_flag(app, flags->kv);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { converse(*flags, session); };
}

}  // namespace

Verb chat_verb() {
  return {"chat",
          "talk with an instruct model, by its chat template",
          "MODEL [flags]",
          {"bitloom chat SmolLM2.gguf --system \"Answer in one sentence.\"",
           "echo \"What is 12 + 30?\" | bitloom chat SmolLM2.gguf --temp 0"},
          setup};
}

}  // namespace bitloom

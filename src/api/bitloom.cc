#include "api/bitloom.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/own_thread.h"
#include "base/error.h"
#include "base/threads.h"
#include "base/version.h"
#include "chat/chat_template.h"
#include "forward/decoder.h"
#include "model/checkpoint/checkpoint.h"
#include "runtime/generate.h"

using namespace bitloom;

/// A model, and the text that was generated last: what the next prompt has in common with it is not computed again.
struct bitloom_model {
  bitloom_model(const char* path, const bitloom_load_options& options)
      : threads(options.threads),
        checkpoint(Checkpoint::open(path)),
        decoder(checkpoint, threads, options.exact != 0 ? Activations::kExact : Activations::kInt8),
        sequence(decoder) {}

  ThreadPool threads;
  std::shared_ptr<const Checkpoint> checkpoint;
  Decoder decoder;
  CachedSequence sequence;
};

namespace {

constexpr int32_t kMostThreads = 1024;

thread_local std::string last_error;

bitloom_status status_of(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::kUsage:
      return BITLOOM_USAGE;
    case ErrorKind::kRefused:
      return BITLOOM_REFUSED;
    default:
      return BITLOOM_FAILED;
  }
}

bitloom_status failed(bitloom_status status, const char* message) {
  try {
    last_error = message;
  } catch (const std::bad_alloc&) {
    last_error.clear();
  }
  return status;
}

/// Runs body(); what it throws becomes a status.
template <typename Body>
bitloom_status guarded(const Body& body) {
  try {
    body();
    return BITLOOM_OK;
  } catch (const Error& error) {
    return failed(status_of(error), error.what());
  } catch (const std::bad_alloc&) {
    return failed(BITLOOM_FAILED, "out of memory");
  } catch (const std::exception& error) {
    return failed(BITLOOM_FAILED, error.what());
  } catch (...) {
    return failed(BITLOOM_FAILED, "an exception of an unknown type");
  }
}

template <typename T>
void need(const T* argument, const char* name) {
  if (argument == nullptr) misuse("{} is NULL", name);
}

/// `given`, which may be of an older header and shorter, over the defaults.
template <typename Options>
Options complete(const Options* given, void (*defaults)(Options*, size_t)) {
  Options options;
  defaults(&options, sizeof options);
  if (given == nullptr) return options;
  if (given->size < sizeof given->size || given->size > sizeof options)
    misuse("options of {} bytes: must be {} at most, as the defaults' function sets it", given->size, sizeof options);
  std::memcpy(&options, given, given->size);
  return options;
}

/// Of `made`, what the caller's header knows, which may be older or newer.
void give_result(bitloom_generated made, bitloom_generated* result) {
  made.size = std::min(result->size, sizeof made);
  std::memcpy(result, &made, made.size);
}

template <typename Options>
void fill_defaults(const Options& defaults, Options* options, size_t size) {
  if (options == nullptr || size < sizeof size) return;
  const size_t known = std::min(size, sizeof defaults);
  std::memcpy(options, &defaults, known);
  options->size = known;
}

std::span<const int32_t> tokens(const Checkpoint& checkpoint, const int32_t* ids, size_t count) {
  if (count > 0) need(ids, "ids");
  const std::span<const int32_t> all(ids, count);
  const int64_t size = checkpoint.graph().vocab_size;
  for (size_t i = 0; i < count; ++i) {
    if (all[i] < 0 || all[i] >= size)
      misuse("ids[{}] is {}, but the model has the tokens 0 to {}", i, all[i], size - 1);
  }
  return all;
}

void give_text(const std::string& from, char* text, size_t capacity, size_t* length) {
  need(length, "length");
  *length = from.size();
  if (capacity == 0) return;
  need(text, "text");
  const size_t fits = std::min(from.size(), capacity - 1);
  std::copy_n(from.data(), fits, text);
  text[fits] = '\0';
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text, bitloom_text_kind kind) {
  switch (kind) {
    case BITLOOM_PLAIN:
      return tokenizer.encode(text, false);
    case BITLOOM_PROMPT:
      return encode_prompt(tokenizer, std::string(text));
    case BITLOOM_CHAT:
      return encode_chat(tokenizer, text);
  }
  misuse("kind is {}: must be 0 (plain), 1 (prompt) or 2 (chat)", static_cast<int>(kind));
}

std::vector<ChatMessage> messages_of(const bitloom_message* messages, size_t count) {
  if (count > 0) need(messages, "messages");
  std::vector<ChatMessage> result;
  for (const bitloom_message& message : std::span(messages, count)) {
    need(message.role, "a message's role");
    need(message.content, "a message's content");
    result.push_back({message.role, message.content});
  }
  return result;
}

GenerateOptions options_of(const bitloom_generate_options& options) {
  return {.max_tokens = options.max_tokens,
          .sampler = {.temperature = options.temperature,
                      .top_k = options.top_k,
                      .top_p = options.top_p,
                      .min_p = options.min_p,
                      .repeat_penalty = options.repeat_penalty,
                      .seed = options.seed},
          .lookup = options.lookup};
}

bitloom_stop stop_of(const std::string& stop) {
  if (stop == "end of text") return BITLOOM_STOP_END;
  if (stop == "context full") return BITLOOM_STOP_CONTEXT;
  return stop == "interrupted" ? BITLOOM_STOP_INTERRUPTED : BITLOOM_STOP_LENGTH;
}

}  // namespace

const char* bitloom_version(void) {
  static const std::string text = version();
  return text.c_str();
}

const char* bitloom_error(void) { return last_error.c_str(); }

void bitloom_load_defaults(bitloom_load_options* options, size_t size) {
  fill_defaults({.size = 0, .threads = 0, .exact = 0}, options, size);
}

void bitloom_generate_defaults(bitloom_generate_options* options, size_t size) {
  const GenerateOptions usual;
  fill_defaults({.size = 0,
                 .max_tokens = usual.max_tokens,
                 .temperature = usual.sampler.temperature,
                 .top_k = usual.sampler.top_k,
                 .top_p = usual.sampler.top_p,
                 .min_p = usual.sampler.min_p,
                 .repeat_penalty = usual.sampler.repeat_penalty,
                 .seed = usual.sampler.seed,
                 .lookup = 0,
                 .reserved = 0},
                options, size);
}

bitloom_status bitloom_load(const char* path, const bitloom_load_options* options, bitloom_model** model) {
  if (model != nullptr) *model = nullptr;
  return guarded([&] {
    need(path, "path");
    need(model, "model");
    const bitloom_load_options all = complete(options, bitloom_load_defaults);
    if (all.threads < 0 || all.threads > kMostThreads)
      misuse("threads is {}: must be 0 (one per processor) to {}", all.threads, kMostThreads);
    run_on_own_thread([&](const TextHook&) { *model = new bitloom_model(path, all); }, {});
  });
}

void bitloom_free(bitloom_model* model) { delete model; }

int64_t bitloom_context(const bitloom_model* model) {
  return model == nullptr ? 0 : model->checkpoint->graph().max_positions;
}

int64_t bitloom_vocabulary(const bitloom_model* model) {
  return model == nullptr ? 0 : model->checkpoint->graph().vocab_size;
}

bitloom_status bitloom_tokenize(const bitloom_model* model, const char* text, bitloom_text_kind kind, int32_t* ids,
                                size_t capacity, size_t* count) {
  return guarded([&] {
    need(model, "model");
    need(text, "text");
    need(count, "count");
    if (capacity > 0) need(ids, "ids");
    const std::vector<int32_t> all = encode(model->checkpoint->tokenizer(), text, kind);
    *count = all.size();
    std::copy_n(all.begin(), std::min(all.size(), capacity), ids);
  });
}

bitloom_status bitloom_detokenize(const bitloom_model* model, const int32_t* ids, size_t count, char* text,
                                  size_t capacity, size_t* length) {
  return guarded([&] {
    need(model, "model");
    const Checkpoint& checkpoint = *model->checkpoint;
    give_text(checkpoint.tokenizer().decode(tokens(checkpoint, ids, count)), text, capacity, length);
  });
}

bitloom_status bitloom_render_chat(const bitloom_model* model, const bitloom_message* messages, size_t count,
                                   char* text, size_t capacity, size_t* length) {
  return guarded([&] {
    need(model, "model");
    const ChatTemplate chat = model->checkpoint->chat_template();
    give_text(chat.render(chat.with_system_folded(messages_of(messages, count))), text, capacity, length);
  });
}

bitloom_status bitloom_generate(bitloom_model* model, const int32_t* ids, size_t count,
                                const bitloom_generate_options* options, bitloom_on_text on_text, void* user,
                                bitloom_generated* result) {
  return guarded([&] {
    need(model, "model");
    const bitloom_generate_options all = complete(options, bitloom_generate_defaults);
    if (all.reserved != 0) misuse("reserved is {}: must be 0", all.reserved);
    if (result != nullptr && result->size < sizeof result->size)
      misuse("the result's size is {}: must be sizeof(bitloom_generated), {}", result->size, sizeof *result);
    const std::span<const int32_t> prompt = tokens(*model->checkpoint, ids, count);
    bool ended = false;
    const auto answer = [&](const std::string& text) {
      if (!ended) ended = on_text(text.c_str(), text.size(), user) != 0;
    };
    GenerateResult made;
    const auto work = [&](const TextHook& ask) {
      made = generate(model->sequence, model->checkpoint->tokenizer(), {prompt.begin(), prompt.end()}, options_of(all),
                      on_text == nullptr ? TextHook() : ask, [&] { return ended; });
    };
    run_on_own_thread(work, answer);
    if (result == nullptr) return;
    give_result({.size = 0,
                 .stop = ended ? BITLOOM_STOP_INTERRUPTED : stop_of(made.stop),
                 .kept_tokens = made.kept_tokens,
                 .tokens = static_cast<int64_t>(made.ids.size()),
                 .prompt_seconds = made.prompt_seconds,
                 .decode_seconds = made.decode_seconds},
                result);
  });
}

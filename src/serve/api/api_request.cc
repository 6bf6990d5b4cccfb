#include "serve/api/api_request.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/text/text.h"
#include "runtime/generate.h"
#include "serve/api/api_error.h"

namespace bitloom {
namespace {

constexpr int64_t kMostAnswers = 64, kMostStops = 16;
constexpr unsigned kCompletion = 1, kChat = 2, kBoth = 3;

struct Reading {
  const ServedModel& model;
  ApiRequest& request;
};

struct Parameter {
  std::string name;
  unsigned kinds;
  std::function<void(const Json& value, const Reading& to)> read;
};

/// A client's own words in a message, cut where they are long.
std::string shown(const std::string& text) {
  constexpr size_t kMost = 80;
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

// ---- values

bool as_bool(const std::string& name, const Json& value) {
  if (!value.is_boolean()) refuse_parameter(name, "must be true or false, not {}", value.type_name());
  return value.get<bool>();
}

int64_t as_integer(const std::string& name, const Json& value, int64_t low, int64_t high) {
  const bool fits =
      value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t(high));
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high)
    refuse_parameter(name, "must be an integer from {} to {}", low, high);
  return value.get<int64_t>();
}

float as_number(const std::string& name, const Json& value, double low, double high) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= low && number <= high)) refuse_parameter(name, "must be a number from {} to {}", low, high);
  return static_cast<float>(number);
}

std::string as_text(const std::string& name, const Json& value) {
  if (!value.is_string()) refuse_parameter(name, "must be a string, not {}", value.type_name());
  return value.get<std::string>();
}

const Json& as_array(const std::string& name, const Json& value) {
  if (!value.is_array() || value.empty()) refuse_parameter(name, "must be an array that is not empty");
  return value;
}

// ---- prompts and messages

std::vector<int32_t> token_ids(const Json& list) {
  std::vector<int32_t> ids;
  for (const Json& id : list) ids.push_back(static_cast<int32_t>(as_integer("prompt", id, 0, INT32_MAX)));
  return ids;
}

/// A text, a list of texts, of token ids, or of lists of token ids.
void read_prompt(const Json& value, const Reading& to) {
  const auto add = [&](const Json& prompt) {
    if (!prompt.is_string() && !prompt.is_array())
      refuse_parameter("prompt", "must be a string, token ids, or an array of these");
    to.request.prompts.push_back(prompt.is_string() ? encode_prompt(to.model.tokenizer, prompt.get<std::string>())
                                                    : token_ids(as_array("prompt", prompt)));
  };
  if (value.is_string() || (value.is_array() && !value.empty() && value.front().is_number())) return add(value);
  for (const Json& prompt : as_array("prompt", value)) add(prompt);
}

/// A text, or parts that are texts.
std::string content_of(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const Json& part : as_array("messages", content)) {
    const bool is_text = part.is_object() && part.value("type", Json()) == "text" && part.contains("text");
    if (!is_text)
      refuse_parameter("messages", "parts of a message must be of type text: this server reads nothing else");
    text += as_text("messages", part.at("text"));
  }
  return text;
}

/// What a message holds beside role, content and name must say nothing, as in the answers that clients send back.
void check_message_keys(const Json& message) {
  static const std::vector<std::string> known = {"role", "content", "name"},
                                        empty = {"tool_calls", "function_call", "refusal", "audio", "annotations"};
  for (const auto& [key, value] : message.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    if (std::find(empty.begin(), empty.end(), key) == empty.end())
      refuse_parameter("messages", "unknown key '{}' of a message{}; allowed: role, content, name", shown(key),
                       did_you_mean(key, known));
    if (!value.empty()) refuse_parameter("messages", "{} of a message is not supported by this server", key);
  }
}

void read_messages(const Json& value, const Reading& to) {
  for (const Json& message : as_array("messages", value)) {
    if (!message.is_object() || !message.contains("role") || !message.contains("content"))
      refuse_parameter("messages", "every message must be an object with role and content");
    check_message_keys(message);
    std::string role = as_text("messages", message.at("role"));
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant")
      refuse_parameter("messages", "role '{}'; allowed: system, developer, user, assistant", shown(role));
    to.request.messages.push_back({role, content_of(message.at("content"))});
  }
}

void render_messages(ApiRequest& request, const ServedModel& model) {
  if (!model.chat_template)
    throw ApiError(400, "the model " + model.name + " has no chat template: use /v1/completions", "model");
  const std::string text = model.chat_template->render(model.chat_template->with_system_folded(request.messages));
  request.prompts = {encode_chat(model.tokenizer, text)};
}

// ---- the table

void read_stop(const Json& value, const Reading& to) {
  const Json list = value.is_string() ? Json::array({value}) : value;
  if (!list.is_array() || list.size() > kMostStops)
    refuse_parameter("stop", "must be a string or an array of at most {}", kMostStops);
  for (const Json& stop : list) {
    to.request.stop.push_back(as_text("stop", stop));
    if (to.request.stop.back().empty()) refuse_parameter("stop", "must not be empty");
  }
}

void read_logprobs(const Json& value, const Reading& to) {
  if (to.request.kind == ApiKind::kChat) {
    to.request.logprobs = as_bool("logprobs", value);
  } else {
    to.request.top_logprobs = static_cast<int>(as_integer("logprobs", value, 0, 5));
    to.request.logprobs = true;
  }
}

void read_model(const Json& value, const Reading& to) {
  const std::string name = as_text("model", value);
  if (name == to.model.name) return;
  throw ApiError(404, "the model '" + shown(name) + "' does not exist; this server has '" + to.model.name + "'",
                 "model", "model_not_found");
}

void read_response_format(const Json& value, const Reading&) {
  if (!value.is_object() || value.value("type", Json()) != "text")
    refuse_parameter("response_format",
                     "only {{\"type\": \"text\"}}: answers are not held to JSON or a schema by this server");
}

void read_stream_options(const Json& value, const Reading& to) {
  if (!value.is_object()) refuse_parameter("stream_options", "must be an object");
  for (const auto& [name, option] : value.items()) {
    if (name != "include_usage" && name != "include_obfuscation")
      refuse_parameter("stream_options", "unknown option '{}'; allowed: include_usage", shown(name));
    if (name == "include_usage") to.request.include_usage = as_bool("stream_options", option);
  }
}

/// Allowed are values that ask for nothing.
Parameter refused(const std::string& name, unsigned kinds, std::vector<Json> allowed) {
  return {name, kinds, [name, allowed](const Json& value, const Reading&) {
            if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
              refuse_parameter(name, "{} is not supported by this server",
                               value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80));
          }};
}

Parameter ignored(const std::string& name) {
  return {name, kBoth, [](const Json&, const Reading&) {}};
}

Parameter number(const std::string& name, double low, double high, float SamplerOptions::*member) {
  return {name, kBoth, [=](const Json& value, const Reading& to) {
            to.request.sampler.*member = as_number(name, value, low, high);
          }};
}

Parameter integer(const std::string& name, unsigned kinds, int64_t low, int64_t high,
                  std::function<void(ApiRequest&, int64_t)> set) {
  return {name, kinds,
          [=](const Json& value, const Reading& to) { set(to.request, as_integer(name, value, low, high)); }};
}

std::vector<Parameter> make_parameters() {
  constexpr int64_t kAny = INT64_MAX;
  const auto set_max_tokens = [](ApiRequest& request, int64_t tokens) { request.max_tokens = tokens; };
  return {
      {"model", kBoth, read_model},
      {"prompt", kCompletion, read_prompt},
      {"messages", kChat, read_messages},
      integer("max_tokens", kBoth, 0, kAny, set_max_tokens),
      integer("max_completion_tokens", kChat, 0, kAny, set_max_tokens),
      number("temperature", 0, 2, &SamplerOptions::temperature),
      number("top_p", 1e-6, 1, &SamplerOptions::top_p),
      number("min_p", 0, 1, &SamplerOptions::min_p),
      number("repeat_penalty", 0.01, 100, &SamplerOptions::repeat_penalty),
      integer("top_k", kBoth, 0, INT32_MAX, [](ApiRequest& r, int64_t k) { r.sampler.top_k = static_cast<int>(k); }),
      integer("seed", kBoth, INT64_MIN, kAny,
              [](ApiRequest& r, int64_t seed) { r.seed = static_cast<uint64_t>(seed); }),
      integer("n", kBoth, 1, kMostAnswers, [](ApiRequest& r, int64_t n) { r.n = n; }),
      {"stop", kBoth, read_stop},
      {"logprobs", kBoth, read_logprobs},
      integer("top_logprobs", kChat, 0, 20, [](ApiRequest& r, int64_t top) { r.top_logprobs = static_cast<int>(top); }),
      {"stream", kBoth, [](const Json& value, const Reading& to) { to.request.stream = as_bool("stream", value); }},
      {"stream_options", kBoth, read_stream_options},
      {"response_format", kBoth, read_response_format},
      refused("tools", kChat, {Json::array()}),
      refused("tool_choice", kChat, {"none", "auto"}),
      refused("functions", kChat, {Json::array()}),
      refused("function_call", kChat, {"none", "auto"}),
      refused("modalities", kChat, {Json::array({"text"})}),
      refused("presence_penalty", kBoth, {0}),
      refused("frequency_penalty", kBoth, {0}),
      refused("logit_bias", kBoth, {Json::object()}),
      refused("best_of", kCompletion, {1}),
      refused("echo", kCompletion, {false}),
      refused("suffix", kCompletion, {""}),
      ignored("user"),
      ignored("metadata"),
      ignored("store"),
      ignored("service_tier"),
      ignored("safety_identifier"),
      ignored("prompt_cache_key"),
      ignored("parallel_tool_calls"),
  };
}

const Parameter& find_parameter(const std::string& name, ApiKind kind) {
  static const std::vector<Parameter> parameters = make_parameters();
  std::vector<std::string> known;
  for (const Parameter& parameter : parameters) {
    if ((parameter.kinds & (kind == ApiKind::kChat ? kChat : kCompletion)) == 0) continue;
    if (parameter.name == name) return parameter;
    known.push_back(parameter.name);
  }
  refuse_parameter(shown(name), "unknown parameter{}", did_you_mean(name, known));
}

}  // namespace

ApiRequest parse_api_request(ApiKind kind, const Json& body, const ServedModel& model) {
  if (!body.is_object()) throw ApiError(400, "the body must be a JSON object");
  ApiRequest request;
  request.kind = kind;
  request.sampler = model.sampler;
  for (const auto& [name, value] : body.items()) {
    const Parameter& parameter = find_parameter(name, kind);
    if (!value.is_null()) parameter.read(value, {model, request});
  }
  const bool chat = kind == ApiKind::kChat;
  if (chat && request.messages.empty()) refuse_parameter("messages", "is missing");
  if (!chat && request.prompts.empty()) refuse_parameter("prompt", "is missing");
  if (chat && request.top_logprobs > 0 && !request.logprobs) refuse_parameter("top_logprobs", "needs logprobs: true");
  if (chat) render_messages(request, model);
  if (static_cast<int64_t>(request.prompts.size()) * request.n > kMostAnswers)
    refuse_parameter("n", "{} prompts with {} answers each: at most {} answers to a request", request.prompts.size(),
                     request.n, kMostAnswers);
  return request;
}

std::vector<TextRequest> text_requests(const ApiRequest& request, const ServedModel& model, uint64_t usual_seed,
                                       int64_t cache_tokens) {
  std::vector<TextRequest> out;
  for (const std::vector<int32_t>& prompt : request.prompts) {
    // The last token of an answer needs no place in the cache.
    const int64_t usual = std::max<int64_t>(1, cache_tokens - static_cast<int64_t>(prompt.size()) + 1);
    for (int64_t i = 0; i < request.n; ++i) {
      TextRequest text;
      text.prompt = prompt;
      text.sampler = request.sampler;
      text.sampler.seed = request.seed.value_or(usual_seed) + static_cast<uint64_t>(i);
      text.max_tokens = std::min(request.max_tokens.value_or(usual), model.max_tokens);
      text.stop = request.stop;
      text.top_logprobs = request.logprobs ? request.top_logprobs : -1;
      out.push_back(std::move(text));
    }
  }
  return out;
}

}  // namespace bitloom

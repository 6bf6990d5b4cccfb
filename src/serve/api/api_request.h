#pragma once
// A request of OpenAI's API, from JSON to values. Every parameter is a row of a table: read, ignored because it changes
// no answer, or refused by name where it asks for what is not done. Unknown ones are refused.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "io/json.h"
#include "runtime/batch/text_request.h"
#include "serve/served_model.h"

namespace bitloom {

enum class ApiKind { kCompletion, kChat };

struct ApiRequest {
  ApiKind kind = ApiKind::kCompletion;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<ChatMessage> messages;
  SamplerOptions sampler;
  std::optional<uint64_t> seed;
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stop;
  int64_t n = 1;  // answers to each prompt
  bool stream = false, include_usage = false;
  bool logprobs = false;
  int top_logprobs = 0;
};

/// Error(kRefused) or ApiError for what is no request: status 400, or 404 for another model's name. Chats become one
/// prompt by the model's template.
ApiRequest parse_api_request(ApiKind kind, const Json& body, const ServedModel& model);

/// One request to the engine per answer, prompt by prompt. Answer i is drawn with seed + i. An answer has at most as
/// many tokens as the request says and the server allows; where the request says nothing, at most as many as the cache,
/// of `cache_tokens`, holds beside the prompt. The end of the context ends any answer.
std::vector<TextRequest> text_requests(const ApiRequest& request, const ServedModel& model, uint64_t usual_seed,
                                       int64_t cache_tokens);

}  // namespace bitloom

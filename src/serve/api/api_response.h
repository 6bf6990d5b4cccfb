#pragma once
// Answers of OpenAI's API, from values to JSON: whole ones, and the chunks of a stream.

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "runtime/batch/text_request.h"
#include "serve/api/api_request.h"
#include "serve/served_model.h"

namespace bitloom {

/// One answer of a request, whole or what has come since the last chunk.
struct ApiChoice {
  std::string text;
  std::vector<TokenLogprob> tokens;
  int64_t offset = 0;  // characters of the answer before `text`
};

class ApiResponse {
 public:
  /// `number` makes the answer's id.
  ApiResponse(const ApiRequest& request, const ServedModel& model, const std::string& number, int64_t created);

  Json whole(const std::vector<ApiChoice>& choices, const std::vector<TextEnd>& ends) const;
  /// Of a stream: what precedes a chat's text, text, the end, and the count of tokens where it was asked for.
  Json first_chunk(size_t choice) const;
  Json chunk(size_t choice, const ApiChoice& part) const;
  Json last_chunk(size_t choice, const TextEnd& end) const;
  Json usage_chunk(const std::vector<TextEnd>& ends) const;

 private:
  Json head(const char* object) const;
  Json usage(const std::vector<TextEnd>& ends) const;
  Json logprobs(const ApiChoice& choice) const;
  Json streamed(size_t choice, Json content, Json logprobs, Json reason) const;
  std::string text_of(int32_t id) const;
  bool chat() const { return kind_ == ApiKind::kChat; }

  ApiKind kind_;
  bool with_logprobs_, with_usage_;
  int64_t n_;
  const ServedModel& model_;
  std::string id_;
  int64_t created_;
};

}  // namespace bitloom

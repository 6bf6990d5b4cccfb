#include "serve/api/api_response.h"

#include "base/text/text.h"

namespace bitloom {
namespace {

/// The API knows an answer that is complete and one that was cut off.
const char* finish_reason(EndReason reason) { return reason == EndReason::kEnd ? "stop" : "length"; }

Json bytes_of(const std::string& text) {
  if (text.find("\xef\xbf\xbd") != std::string::npos) return {};  // part of a character
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace

ApiResponse::ApiResponse(const ApiRequest& request, const ServedModel& model, const std::string& number,
                         int64_t created)
    : kind_(request.kind),
      with_logprobs_(request.logprobs),
      with_usage_(request.include_usage),
      n_(request.n),
      model_(model),
      id_((request.kind == ApiKind::kChat ? "chatcmpl-" : "cmpl-") + number),
      created_(created) {}

Json ApiResponse::head(const char* object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_.name}, {"choices", Json::array()}};
}

/// A prompt counts once, however many answers it has.
Json ApiResponse::usage(const std::vector<TextEnd>& ends) const {
  int64_t prompt = 0, cached = 0, completion = 0;
  for (size_t i = 0; i < ends.size(); ++i) {
    completion += ends[i].tokens;
    if (static_cast<int64_t>(i) % n_ != 0) continue;
    prompt += ends[i].prompt_tokens;
    cached += ends[i].shared_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

std::string ApiResponse::text_of(int32_t id) const { return model_.tokenizer.decode({&id, 1}, false); }

Json ApiResponse::logprobs(const ApiChoice& choice) const {
  if (!with_logprobs_) return {};
  Json content = Json::array(), tokens = Json::array(), values = Json::array(), tops = Json::array(),
       offsets = Json::array();
  int64_t offset = choice.offset;
  for (const TokenLogprob& token : choice.tokens) {
    const std::string text = text_of(token.id);
    Json top_list = Json::array(), top_map = Json::object();
    for (const auto& [id, logprob] : token.top) {
      const std::string likely = text_of(id);
      top_list.push_back({{"token", likely}, {"logprob", logprob}, {"bytes", bytes_of(likely)}});
      top_map[likely] = logprob;
    }
    content.push_back(
        {{"token", text}, {"logprob", token.logprob}, {"bytes", bytes_of(text)}, {"top_logprobs", top_list}});
    tokens.push_back(text), values.push_back(token.logprob), tops.push_back(top_map), offsets.push_back(offset);
    offset += count_characters(text);
  }
  if (chat()) return {{"content", content}, {"refusal", nullptr}};
  return {{"tokens", tokens}, {"token_logprobs", values}, {"top_logprobs", tops}, {"text_offset", offsets}};
}

Json ApiResponse::whole(const std::vector<ApiChoice>& choices, const std::vector<TextEnd>& ends) const {
  Json out = head(chat() ? "chat.completion" : "text_completion");
  for (size_t i = 0; i < choices.size(); ++i) {
    Json choice = {{"index", i}, {"logprobs", logprobs(choices[i])}, {"finish_reason", finish_reason(ends[i].reason)}};
    if (chat()) {
      choice["message"] = {{"role", "assistant"}, {"content", choices[i].text}, {"refusal", nullptr}};
    } else {
      choice["text"] = choices[i].text;
    }
    out["choices"].push_back(std::move(choice));
  }
  out["usage"] = usage(ends);
  return out;
}

Json ApiResponse::streamed(size_t choice, Json content, Json logprobs, Json reason) const {
  Json out = head(chat() ? "chat.completion.chunk" : "text_completion");
  out["choices"].push_back({{"index", choice},
                            {chat() ? "delta" : "text", std::move(content)},
                            {"logprobs", std::move(logprobs)},
                            {"finish_reason", std::move(reason)}});
  if (with_usage_) out["usage"] = nullptr;
  return out;
}

Json ApiResponse::first_chunk(size_t choice) const {
  return streamed(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
}

Json ApiResponse::chunk(size_t choice, const ApiChoice& part) const {
  return streamed(choice, chat() ? Json{{"content", part.text}} : Json(part.text), logprobs(part), nullptr);
}

Json ApiResponse::last_chunk(size_t choice, const TextEnd& end) const {
  return streamed(choice, chat() ? Json::object() : Json(""), nullptr, finish_reason(end.reason));
}

Json ApiResponse::usage_chunk(const std::vector<TextEnd>& ends) const {
  Json out = head(chat() ? "chat.completion.chunk" : "text_completion");
  out["usage"] = usage(ends);
  return out;
}

}  // namespace bitloom

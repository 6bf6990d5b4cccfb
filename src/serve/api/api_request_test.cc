#include "serve/api/api_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "serve/api/api_error.h"
#include "serve/test_server.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

struct Parsing : ::testing::Test {
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("assets/demo");
  ServedModel model = testing::served(*checkpoint);

  ApiRequest completion(const std::string& body) const {
    return parse_api_request(ApiKind::kCompletion, Json::parse(body), model);
  }
  ApiRequest chat(const std::string& body) const { return parse_api_request(ApiKind::kChat, Json::parse(body), model); }
  std::vector<int32_t> encode(const std::string& text) const { return model.tokenizer.encode(text); }

  /// "status parameter: message"
  std::string refusal(ApiKind kind, const std::string& body) const {
    try {
      parse_api_request(kind, Json::parse(body), model);
    } catch (const ApiError& error) {
      return std::to_string(error.status) + " " + error.parameter + ": " + error.what();
    }
    return "accepted";
  }
};

TEST_F(Parsing, ACompletion) {
  const ApiRequest request = completion(R"({"model": "demo", "prompt": "Once", "max_tokens": 7, "temperature": 0.5,
      "top_p": 0.9, "top_k": 3, "min_p": 0.1, "repeat_penalty": 1.5, "seed": -1, "stop": "x", "n": 2, "stream": true,
      "stream_options": {"include_usage": true}, "logprobs": 3, "user": "me", "echo": false, "presence_penalty": 0})");
  EXPECT_EQ(request.prompts, std::vector<std::vector<int32_t>>{encode("Once")});
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_FLOAT_EQ(request.sampler.temperature, 0.5f);
  EXPECT_FLOAT_EQ(request.sampler.top_p, 0.9f);
  EXPECT_EQ(request.sampler.top_k, 3);
  EXPECT_FLOAT_EQ(request.sampler.min_p, 0.1f);
  EXPECT_FLOAT_EQ(request.sampler.repeat_penalty, 1.5f);
  EXPECT_EQ(request.stop, std::vector<std::string>{"x"});
  EXPECT_TRUE(request.stream && request.include_usage && request.logprobs);
  const std::vector<TextRequest> texts = text_requests(request, model, 5, 10000);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].sampler.seed, UINT64_MAX);
  EXPECT_EQ(texts[1].sampler.seed, 0u);
  EXPECT_EQ(texts[0].top_logprobs, 3);
  EXPECT_EQ(texts[0].max_tokens, 7);
}

TEST_F(Parsing, PromptsOfEveryKind) {
  EXPECT_EQ(completion(R"({"prompt": ["Once", "She"]})").prompts,
            (std::vector<std::vector<int32_t>>{encode("Once"), encode("She")}));
  EXPECT_EQ(completion(R"({"prompt": [1, 5]})").prompts, (std::vector<std::vector<int32_t>>{{1, 5}}));
  EXPECT_EQ(completion(R"({"prompt": [[1, 5], [6]]})").prompts, (std::vector<std::vector<int32_t>>{{1, 5}, {6}}));
  EXPECT_EQ(completion(R"({"prompt": ""})").prompts, (std::vector<std::vector<int32_t>>{{*model.tokenizer.bos_id()}}));
}

TEST_F(Parsing, WhatIsNotSaidIsTheServers) {
  model.sampler.temperature = 0.3f;
  const ApiRequest request = completion(R"({"prompt": "x", "stop": null, "max_tokens": null})");
  EXPECT_FLOAT_EQ(request.sampler.temperature, 0.3f);
  const std::vector<TextRequest> texts = text_requests(request, model, 5, 10000);
  EXPECT_EQ(texts[0].max_tokens, 200);
  EXPECT_EQ(texts[0].sampler.seed, 5u);
  EXPECT_EQ(texts[0].top_logprobs, -1);
  EXPECT_EQ(text_requests(completion(R"({"prompt": "x", "max_tokens": 100000})"), model, 0, 10000)[0].max_tokens, 200);
}

TEST_F(Parsing, AnAnswerOfNoStatedLengthFitsTheCache) {
  const ApiRequest request = completion(R"({"prompt": [1, 5, 6, 7]})");
  EXPECT_EQ(text_requests(request, model, 0, 64)[0].max_tokens, 61);
  EXPECT_EQ(text_requests(request, model, 0, 4)[0].max_tokens, 1);
  EXPECT_EQ(text_requests(request, model, 0, 3)[0].max_tokens, 1) << "the engine refuses the prompt";
  EXPECT_EQ(text_requests(completion(R"({"prompt": [1, 5], "max_tokens": 90})"), model, 0, 64)[0].max_tokens, 90);
}

TEST_F(Parsing, KeysOfMessagesAreNotDropped) {
  const auto with = [&](const std::string& more) {
    return refusal(ApiKind::kChat, R"({"messages": [{"role": "assistant", "content": "x", )" + more + "}]}");
  };
  EXPECT_EQ(with(R"("name": "me", "tool_calls": [], "refusal": null, "annotations": [])"), "accepted");
  EXPECT_THAT(with(R"("tool_calls": [{"id": "1"}])"), HasSubstr("400 messages: messages: tool_calls of a message"));
  EXPECT_THAT(with(R"("refusal": "no")"), HasSubstr("400 messages: "));
  EXPECT_THAT(with(R"("weight": 0)"), HasSubstr("unknown key 'weight' of a message"));
  EXPECT_THAT(with(R"("contnt": "y")"), HasSubstr("did you mean 'content'?"));
}

TEST_F(Parsing, LongNamesAreCutInMessages) {
  const std::string name(90000, 'x');
  EXPECT_LT(refusal(ApiKind::kCompletion, R"({"prompt": "x", ")" + name + R"(": 1})").size(), 400u);
  EXPECT_LT(refusal(ApiKind::kCompletion, R"({"prompt": "x", "model": ")" + name + R"("})").size(), 400u);
  EXPECT_LT(refusal(ApiKind::kChat, R"({"messages": [{"role": ")" + name + R"(", "content": ""}]})").size(), 400u);
}

TEST_F(Parsing, AChatBecomesAPrompt) {
  const ApiRequest request = chat(R"({"messages": [{"role": "developer", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "you"}], "name": "x"}],
      "max_completion_tokens": 9, "logprobs": true, "top_logprobs": 2, "response_format": {"type": "text"}, "tools": []})");
  EXPECT_EQ(model.tokenizer.decode(request.prompts.at(0)), "system: Be brief.\nuser: Hello you\nassistant:");
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(text_requests(request, model, 0, 10000)[0].top_logprobs, 2);
}

TEST_F(Parsing, WrongTypesAndRangesNameTheParameter) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"([1])", "400 : the body must be a JSON object"},
      {R"({})", "400 prompt: prompt: is missing"},
      {R"({"prompt": 7})", "400 prompt: "},
      {R"({"prompt": []})", "400 prompt: "},
      {R"({"prompt": [1, "x"]})", "400 prompt: "},
      {R"({"prompt": [-1]})", "400 prompt: "},
      {R"({"prompt": [[]]})", "400 prompt: "},
      {R"({"prompt": "x", "max_tokens": "7"})", "400 max_tokens: max_tokens: must be an integer from 0"},
      {R"({"prompt": "x", "max_tokens": 1.5})", "400 max_tokens: "},
      {R"({"prompt": "x", "max_tokens": 18446744073709551615})", "400 max_tokens: "},
      {R"({"prompt": "x", "temperature": -1})", "400 temperature: temperature: must be a number from 0 to 2"},
      {R"({"prompt": "x", "temperature": true})", "400 temperature: "},
      {R"({"prompt": "x", "n": 0})", "400 n: "},
      {R"({"prompt": ["x", "y"], "n": 40})", "400 n: "},
      {R"({"prompt": "x", "stream": 1})", "400 stream: stream: must be true or false, not number"},
      {R"({"prompt": "x", "stop": ""})", "400 stop: "},
      {R"({"prompt": "x", "stop": [1]})", "400 stop: "},
      {R"({"prompt": "x", "logprobs": 6})", "400 logprobs: "},
      {R"({"prompt": "x", "stream_options": {"x": 1}})", "400 stream_options: "},
      {R"({"prompt": "x", "model": "other"})", "404 model: the model 'other' does not exist"},
      {R"({"prompt": "x", "temperatur": 1})",
       "400 temperatur: temperatur: unknown parameter (did you mean 'temperature'?)"},
      {R"({"prompt": "x", "messages": []})", "400 messages: "},
  };
  for (const auto& [body, message] : cases)
    EXPECT_THAT(refusal(ApiKind::kCompletion, body), HasSubstr(message)) << body;
}

TEST_F(Parsing, WhatIsNotDoneIsRefused) {
  const std::string messages = R"({"messages": [{"role": "user", "content": "x"}], )";
  for (const char* more :
       {R"("response_format": {"type": "json_object"}})", R"("response_format": {"type": "json_schema"}})",
        R"("response_format": 1})", R"("tools": [{"type": "function"}]})", R"("tool_choice": "required"})",
        R"("functions": [{}]})", R"("logit_bias": {"5": 1}})", R"("presence_penalty": 0.5})",
        R"("frequency_penalty": 1})", R"("modalities": ["audio"]})", R"("top_logprobs": 2})"})
    EXPECT_THAT(refusal(ApiKind::kChat, messages + more),
                HasSubstr("400 " + std::string(more).substr(1, std::string(more).find('"', 1) - 1)))
        << more;
  for (const char* more : {R"("echo": true})", R"("suffix": "x"})", R"("best_of": 3})"})
    EXPECT_THAT(refusal(ApiKind::kCompletion, R"({"prompt": "x", )" + std::string(more)), HasSubstr("400 ")) << more;
  for (const char* message :
       {R"({"role": "tool", "content": "x"})", R"({"role": "user"})",
        R"({"role": "user", "content": [{"type": "image_url"}]})", R"({"role": "user", "content": 5})", R"("text")"})
    EXPECT_THAT(refusal(ApiKind::kChat, R"({"messages": [)" + std::string(message) + "]}"), HasSubstr("400 messages: "))
        << message;
  model.chat_template.reset();
  EXPECT_THAT(refusal(ApiKind::kChat, R"({"messages": [{"role": "user", "content": "x"}]})"),
              HasSubstr("no chat template"));
}

}  // namespace
}  // namespace bitloom

#include "runtime/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "base/text/text.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

struct Demo {
  ThreadPool pool{2};
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("assets/demo");
  Decoder decoder{checkpoint, pool};
  std::vector<std::string> pieces;

  GenerateResult run(const std::string& prompt, int64_t max_tokens, SamplerOptions sampler = {}) {
    pieces.clear();
    return generate(decoder, checkpoint->tokenizer(), prompt, {max_tokens, sampler},
                    [this](const std::string& piece) { pieces.push_back(piece); });
  }
};

// transformers' greedy tokens (tests/oracle/runtime_greedy.py, where the two best logits are never nearer than 1e-3).
TEST(Generate, GreedyIsTheReferencesText) {
  Demo demo;
  const Json golden = read_json(testing::golden("runtime/greedy.json"));
  ASSERT_EQ(golden.size(), 3u);
  for (const Json& entry : golden) {
    const std::vector<int32_t> ids = entry.at("ids");
    const GenerateResult out = demo.run(entry.at("prompt"), static_cast<int64_t>(ids.size()), {.temperature = 0});
    EXPECT_EQ(out.prompt_ids, entry.at("prompt_ids").get<std::vector<int32_t>>());
    EXPECT_EQ(out.ids, ids);
    EXPECT_EQ(out.text, entry.at("text").get<std::string>());
    EXPECT_EQ(out.stop, "length");
    EXPECT_GT(out.tokens_per_second(), 0);
    EXPECT_GT(out.prompt_tokens_per_second(), 0);
  }
}

TEST(Generate, StreamsItsTextInWholeCharacters) {
  Demo demo;
  // Hot sampling over bytes gives broken UTF-8 now and then.
  const GenerateResult out = demo.run("Once", 200, {.temperature = 50, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 3});
  std::string joined;
  for (const std::string& piece : demo.pieces) {
    EXPECT_FALSE(piece.empty());
    EXPECT_EQ(first_invalid_utf8(piece), piece.size()) << piece;
    joined += piece;
  }
  EXPECT_EQ(joined, out.text);
  EXPECT_GT(demo.pieces.size(), 50u);
}

TEST(Generate, SeedDecidesTheText) {
  Demo demo;
  const GenerateResult first = demo.run("Once upon a time", 40, {.seed = 1});
  EXPECT_EQ(first.ids, demo.run("Once upon a time", 40, {.seed = 1}).ids);
  EXPECT_NE(first.ids, demo.run("Once upon a time", 40, {.seed = 2}).ids);
}

TEST(Generate, EndsAtTheContextsEnd) {
  Demo demo;
  std::string prompt;
  for (int i = 0; i < 245; ++i) prompt += " the";
  const GenerateResult out = demo.run(prompt, 100, {.temperature = 50, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 1});
  ASSERT_EQ(out.prompt_ids.size(), 246u);  // BOS before it
  EXPECT_EQ(out.stop, "context full");
  EXPECT_EQ(out.ids.size(), 11u);  // 256 positions, and one token after the last
  for (int i = 0; i < 12; ++i) prompt += " the";
  try {
    demo.run(prompt, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused);
    EXPECT_THAT(error.what(), HasSubstr("the prompt has 258 tokens, the model's context is 256"));
  }
}

// The model was trained on documents that end in EOS: one of a few stories ends before the context does.
TEST(Generate, EndsAtEndOfText) {
  Demo demo;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const GenerateResult out = demo.run("Once upon a time", 250, {.seed = seed});
    if (out.stop != "end of text") continue;
    EXPECT_LT(out.ids.size(), 250u);
    EXPECT_EQ(std::count(out.ids.begin(), out.ids.end(), *demo.checkpoint->tokenizer().eos_id()), 0);
    return;
  }
  FAIL() << "no story of 20 ended";
}

/// The demo with more files beside it.
std::vector<int32_t> ends_beside(const Json& files) {
  const testing::TempDir dir;
  for (const auto& entry : std::filesystem::directory_iterator("assets/demo")) {
    if (!files.contains(entry.path().filename().string())) std::filesystem::copy(entry.path(), dir.path());
  }
  for (const auto& [name, content] : files.items()) testing::write_file(dir.file(name), content.dump());
  const auto model = Checkpoint::open(dir.path());
  return end_ids(model->graph(), model->tokenizer());
}

TEST(EndIds, AreThoseOfTextsAndTurns) {
  const auto config = [](const std::string& token, const std::string& more) {
    return Json::parse(R"({"eos_token": "<|end_of_text|>", "added_tokens_decoder": {"4096": {"content": ")" + token +
                       R"(", "special": true}}, "chat_template": ")" + more + R"("})");
  };
  EXPECT_THAT(ends_beside(Json::object()), ::testing::Each(1));
  // By its spelling, by the chat template, and neither: a token that no answer ends in.
  EXPECT_THAT(ends_beside({{"tokenizer_config.json", config("<|im_end|>", "")}}), ::testing::Contains(4096));
  const std::string turns = "{% for m in messages %}{{ m.content }} <stop>next{% endfor %}";
  EXPECT_THAT(ends_beside({{"tokenizer_config.json", config("<stop>", turns)}}), ::testing::Contains(4096));
  EXPECT_THAT(ends_beside({{"tokenizer_config.json", config("<tool>", turns)}}), ::testing::Each(1));
  // A template that cannot be rendered is no hindrance.
  EXPECT_THAT(ends_beside({{"tokenizer_config.json", config("<stop>", "{% broken")}}), ::testing::Each(1));
}

TEST(Generate, AnEmptyPromptIsBos) {
  Demo demo;
  const GenerateResult out = demo.run("", 5, {.temperature = 0});
  EXPECT_EQ(out.prompt_ids, std::vector<int32_t>{*demo.checkpoint->tokenizer().bos_id()});
  EXPECT_EQ(out.ids.size(), 5u);
}

// The text continues the prompt: with a SentencePiece model, whose decoder drops the first space of a text, a
// continuation that begins with a space keeps it.
TEST(Generate, ContinuesThePromptsText) {
  const std::string path = testing::shared_path("models/babyllama-char");
  if (path.empty()) GTEST_SKIP() << "needs ../shared/models/babyllama-char";
  ThreadPool pool(1);
  const auto checkpoint = Checkpoint::open(path);
  Decoder decoder(checkpoint, pool);
  const Tokenizer& tokenizer = checkpoint->tokenizer();
  bool begins_with_space = false;
  for (const char* prompt : {"Once upon", "The little girl was", "She said"}) {
    const GenerateResult out = generate(decoder, tokenizer, prompt, {12, {.temperature = 0}}, {});
    std::vector<int32_t> ids = out.prompt_ids;
    const std::string before = tokenizer.decode(ids);
    ids.insert(ids.end(), out.ids.begin(), out.ids.end());
    EXPECT_EQ(before + out.text, tokenizer.decode(ids));
    begins_with_space = begins_with_space || out.text.starts_with(' ');
  }
  EXPECT_TRUE(begins_with_space);
}

}  // namespace
}  // namespace bitloom

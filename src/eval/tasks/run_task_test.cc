#include "eval/tasks/run_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/logits/fake_source.h"
#include "io/test_support.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

class RunTask : public ::testing::Test {
 protected:
  ThreadPool pool_{2};
  Progress silent_;
  Context context_{pool_, silent_};
  testing::TempDir dir_;
  const Tokenizer tokenizer_ = Tokenizer::load("assets/demo");

  /// A model that continues any text that ends where `text` has got to with `text`, and prefers token 0 elsewhere.
  testing::FakeSource reciter(const std::string& text) const {
    const std::vector<int32_t> ids = tokenizer_.encode(text, true);
    return {tokenizer_.vocab_size(), [ids](std::span<const int32_t> tokens, std::span<float> logits) {
              std::fill(logits.begin(), logits.end(), 0.0f);
              const bool inside = tokens.size() < ids.size() && std::equal(tokens.begin(), tokens.end(), ids.begin());
              logits[static_cast<size_t>(inside ? ids[tokens.size()] : 0)] = 10;
            }};
  }

  Task task(const std::string& yaml) const {
    return parse_task("version: 1\ndescription: d\nsource: s\ndata: d.jsonl\n" + yaml, "t.yaml");
  }
  TaskOptions with(const std::string& records) const {
    testing::write_file(dir_.file("d.jsonl"), records);
    TaskOptions options;
    options.data = dir_.path();
    return options;
  }
};

TEST_F(RunTask, TheOwnTaskWithTheDemoModel) {
  Decoder decoder(Checkpoint::open("assets/demo"), pool_);
  const auto model = logits_of_steps(decoder);
  const TaskResult result = run_task(load_task("story_endings"), *model, tokenizer_, {}, context_);
  ASSERT_EQ(result.items.size(), 40u);
  EXPECT_EQ(result.metrics.at(0).name, "acc");
  // The model writes such stories. By chance the mean is 0.5 with a deviation of 0.079.
  EXPECT_GT(result.metrics.at(0).value, 0.75);
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(result.items[i].index, static_cast<int64_t>(i));
}

TEST_F(RunTask, Targets) {
  testing::FakeSource model = reciter("The sun is hot");
  const Task t = task("kind: target\ncontext: \"{text|before_last_word}\"\ntarget: \"{text|last_word}\"\n");
  const TaskResult result = run_task(
      t, model, tokenizer_, with("{\"text\": \"The sun is hot\"}\n{\"text\": \"The sun is cold\"}\n"), context_);
  ASSERT_EQ(result.items.size(), 2u);
  EXPECT_EQ(result.items[0].verdicts.at("acc").value, 1);
  EXPECT_EQ(result.items[1].verdicts.at("acc").value, 0);
  EXPECT_GT(result.items[0].verdicts.at("perplexity").value, result.items[1].verdicts.at("perplexity").value);
  EXPECT_EQ(result.data_sha256, sha256_file(dir_.file("d.jsonl")));
}

TEST_F(RunTask, GenerationWithAStopAndAnEnd) {
  testing::FakeSource model = reciter("Q: two and two A: it is 4 Q: 9");
  const Task t = task(
      "kind: generate\ncontext: \"Q: {q} A:\"\ntarget: \"{a}\"\nstops: [\"Q:\"]\nmax_tokens: 30\n"
      "extract: [{pattern: '[0-9]+'}]\n");
  TaskOptions options = with("{\"q\": \"two and two\", \"a\": 4}\n{\"q\": \"one\", \"a\": \"1\"}\n");
  options.end_ids = {0};
  const TaskResult result = run_task(t, model, tokenizer_, options, context_);
  EXPECT_EQ(result.items[0].text, " it is 4 ");
  EXPECT_EQ(result.items[0].verdicts.at("exact_match").value, 1);
  EXPECT_EQ(result.items[1].text, "");
  EXPECT_EQ(result.items[1].verdicts.at("exact_match").value, 0);
  EXPECT_EQ(result.metrics.at(0).value, 0.5);
}

TEST_F(RunTask, LimitAndShots) {
  testing::FakeSource model = testing::random_source(tokenizer_.vocab_size(), 1);
  TaskOptions options;
  options.limit = 7, options.shots = 3;
  const TaskResult result = run_task(load_task("story_endings"), model, tokenizer_, options, context_);
  EXPECT_EQ(result.items.size(), 7u);
  EXPECT_EQ(result.shots, 3);
}

TEST_F(RunTask, Refuses) {
  testing::FakeSource model = testing::random_source(tokenizer_.vocab_size(), 1);
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [&] { find_task_data(load_task("piqa"), dir_.path()); }),
            "task piqa: no piqa.jsonl in " + dir_.path() + "; --data DIR says where a task's data lie");
  const Task t = task("kind: target\ncontext: \"{text}\"\ntarget: \"{answer}\"\n");
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused,
                                [&] { run_task(t, model, tokenizer_, with("{\"text\": \"x\"}\n"), context_); }),
            dir_.file("d.jsonl") + ":1: field 'answer' is missing; the record has: text");
  const Task g = task("kind: generate\ncontext: x\ntarget: y\nextract: [{pattern: z}]\nmax_tokens: 99\n");
  model.set_max_positions(50);
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused, [&] { run_task(g, model, tokenizer_, with("{}\n"), context_); }),
            "t.yaml: 99 tokens to generate do not fit the model's context of 50");
}

}  // namespace
}  // namespace bitloom

// The library as others see it: through its installed headers' text, linked with the shared object alone.
#include "bitloom.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace bitloom {
namespace {

const std::string kPrompt = "Once upon a time";

GenerateOptions greedy(int64_t tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  options.temperature = 0;
  return options;
}

TEST(Library, TokensAreTextAgain) {
  const Model model("assets/demo");
  const std::vector<int32_t> plain = model.tokenize(kPrompt, BITLOOM_PLAIN);
  const std::vector<int32_t> prompt = model.tokenize(kPrompt);
  ASSERT_FALSE(plain.empty());
  EXPECT_EQ(model.detokenize(plain), kPrompt);
  EXPECT_EQ(model.detokenize(prompt), kPrompt) << "BOS is no text";
  for (const int32_t id : prompt) EXPECT_LT(id, model.vocabulary());
  EXPECT_GT(model.context(), 0);
}

TEST(Library, BuffersThatAreTooShortAreFilled) {
  bitloom_model* model = nullptr;
  ASSERT_EQ(bitloom_load("assets/demo", nullptr, &model), BITLOOM_OK) << bitloom_error();
  size_t count = 0, length = 0;
  ASSERT_EQ(bitloom_tokenize(model, kPrompt.c_str(), BITLOOM_PLAIN, nullptr, 0, &count), BITLOOM_OK);
  ASSERT_GT(count, 2u);
  std::vector<int32_t> ids(count, -1), first(count, -1);
  ASSERT_EQ(bitloom_tokenize(model, kPrompt.c_str(), BITLOOM_PLAIN, ids.data(), count, &count), BITLOOM_OK);
  ASSERT_EQ(bitloom_tokenize(model, kPrompt.c_str(), BITLOOM_PLAIN, first.data(), 2, &count), BITLOOM_OK);
  EXPECT_EQ(count, ids.size());
  EXPECT_EQ(first[1], ids[1]);
  EXPECT_EQ(first[2], -1);
  char text[5] = "####";
  ASSERT_EQ(bitloom_detokenize(model, ids.data(), count, text, 4, &length), BITLOOM_OK);
  EXPECT_STREQ(text, "Onc");
  EXPECT_EQ(length, kPrompt.size());
  bitloom_free(model);
}

TEST(Library, TheCallbackGetsTheTextAndMayEndIt) {
  Model model("assets/demo");
  const std::vector<int32_t> prompt = model.tokenize(kPrompt);
  std::string streamed;
  const Generated whole = model.generate(prompt, greedy(24), [&](std::string_view piece) {
    streamed += piece;
    return true;
  });
  EXPECT_EQ(streamed, whole.text);
  EXPECT_EQ(whole.stop, BITLOOM_STOP_LENGTH);
  EXPECT_EQ(whole.tokens, 24);
  int calls = 0;
  const Generated cut = model.generate(prompt, greedy(24), [&](std::string_view) { return ++calls < 3; });
  EXPECT_EQ(cut.stop, BITLOOM_STOP_INTERRUPTED);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(cut.kept_tokens, static_cast<int64_t>(prompt.size()) - 1) << "the prompt is there but its last token";
  EXPECT_TRUE(whole.text.starts_with(cut.text));
  EXPECT_THROW(model.generate(prompt, greedy(24), [](std::string_view) -> bool { throw 7; }), int);
}

TEST(Library, SameSeedSameText) {
  Model model("assets/demo");
  GenerateOptions options;
  options.max_tokens = 24;
  options.seed = 5;
  const std::vector<int32_t> prompt = model.tokenize(kPrompt);
  const std::string text = model.generate(prompt, options).text;
  EXPECT_EQ(model.generate(prompt, options).text, text);
  options.seed = 6;
  EXPECT_NE(model.generate(prompt, options).text, text);
}

TEST(Library, LookupChangesNoText) {
  Model model("assets/demo");
  const std::vector<int32_t> prompt = model.tokenize("The cat sat. The cat sat. The");
  GenerateOptions options = greedy(24);
  const std::string text = model.generate(prompt, options).text;
  options.lookup = 7;
  EXPECT_EQ(model.generate(prompt, options).text, text);
  options.lookup = 8;
  EXPECT_THROW(model.generate(prompt, options), Error);
}

bitloom_status status_of(const std::function<void()>& body, const std::string& part) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    return error.status();
  }
  return BITLOOM_OK;
}

TEST(Library, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(status_of([] { Model("no/such/model"); }, "no/such/model"), BITLOOM_REFUSED);
  LoadOptions many;
  many.threads = -1;
  EXPECT_EQ(status_of([&] { Model("assets/demo", many); }, "threads is -1"), BITLOOM_USAGE);
  Model model("assets/demo");
  GenerateOptions hot = greedy(1);
  hot.temperature = -1;
  const std::vector<int32_t> prompt = model.tokenize(kPrompt), beyond{1, 1 << 30};
  EXPECT_EQ(status_of([&] { model.generate(prompt, hot); }, "-1"), BITLOOM_USAGE);
  EXPECT_EQ(status_of([&] { model.generate(beyond, greedy(1)); }, "ids[1] is 1073741824"), BITLOOM_USAGE);
  EXPECT_EQ(status_of([&] { model.generate({}, greedy(1)); }, "no tokens"), BITLOOM_REFUSED);
  EXPECT_EQ(status_of([&] { model.tokenize("\xFF"); }, "UTF-8"), BITLOOM_REFUSED);
  GenerateOptions larger = greedy(1);
  larger.size = sizeof larger + 1;
  EXPECT_EQ(status_of([&] { model.generate(prompt, larger); }, "options of"), BITLOOM_USAGE);
}

TEST(Library, NullIsAnErrorAndNotTheEnd) {
  size_t count = 0;
  EXPECT_EQ(bitloom_load(nullptr, nullptr, nullptr), BITLOOM_USAGE);
  EXPECT_STREQ(bitloom_error(), "path is NULL");
  EXPECT_EQ(bitloom_tokenize(nullptr, "a", BITLOOM_PLAIN, nullptr, 0, &count), BITLOOM_USAGE);
  EXPECT_EQ(bitloom_generate(nullptr, nullptr, 0, nullptr, nullptr, nullptr, nullptr), BITLOOM_USAGE);
  EXPECT_EQ(bitloom_context(nullptr), 0);
  bitloom_free(nullptr);
}

TEST(Library, AnErrorBelongsToItsThread) {
  ASSERT_EQ(bitloom_load(nullptr, nullptr, nullptr), BITLOOM_USAGE);
  std::string other = "unset";
  std::thread([&] { other = bitloom_error(); }).join();
  EXPECT_EQ(other, "");
}

/// Options of a program that was compiled when seed was not there.
TEST(Library, ShorterOptionsAreCompleted) {
  Model model("assets/demo");
  const std::vector<int32_t> prompt = model.tokenize(kPrompt);
  GenerateOptions older;
  bitloom_generate_defaults(&older, offsetof(bitloom_generate_options, seed));
  older.max_tokens = 24;
  older.seed = 6;  // beyond its size: not read
  GenerateOptions usual;
  usual.max_tokens = 24;
  EXPECT_EQ(model.generate(prompt, older).text, model.generate(prompt, usual).text);
}

TEST(Library, AChatIsRenderedByTheModelsTemplate) {
  namespace fs = std::filesystem;
  const fs::path directory = fs::path(::testing::TempDir()) / "bitloom_api_chat";
  fs::remove_all(directory);
  fs::copy("assets/demo", directory, fs::copy_options::recursive);
  std::ofstream(directory / "chat_template.jinja")
      << "{% for m in messages %}{% if m.role == 'nobody' %}{{ raise_exception('nobody is no role') }}{% endif %}"
         "<{{ m.role }}>{{ m.content }}{% endfor %}<answer>";
  Model model(directory.string());
  const std::string text = model.render_chat({{"system", "Be short."}, {"user", "Hello"}});
  EXPECT_EQ(text, "<system>Be short.<user>Hello<answer>");
  EXPECT_EQ(model.detokenize(model.tokenize(text, BITLOOM_CHAT)), text);
  EXPECT_EQ(status_of([&] { model.render_chat({{"nobody", "?"}}); }, "nobody is no role"), BITLOOM_REFUSED);
  EXPECT_EQ(status_of([&] { Model("assets/demo").render_chat({{"user", "?"}}); }, "no chat template"), BITLOOM_REFUSED);
  fs::remove_all(directory);
}

}  // namespace
}  // namespace bitloom

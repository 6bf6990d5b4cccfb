// The library as others see it: through its installed headers' text, linked with the shared object alone.
#include "bitloom.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/time.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <stdexcept>
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

TEST(Library, ACallbackThatEndsTheTextAtItsLastPieceInterruptsIt) {
  Model model("assets/demo");
  const std::vector<int32_t> prompt = model.tokenize(kPrompt);
  int pieces = 0, calls = 0;
  const Generated whole = model.generate(prompt, greedy(3), [&](std::string_view) { return ++pieces < 100; });
  EXPECT_EQ(whole.stop, BITLOOM_STOP_LENGTH);
  ASSERT_EQ(pieces, 3);
  const Generated cut = model.generate(prompt, greedy(3), [&](std::string_view) { return ++calls < 3; });
  EXPECT_EQ(cut.stop, BITLOOM_STOP_INTERRUPTED);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(cut.text, whole.text);
}

TEST(Library, WhatACallbackThrowsDoesNotLeaveTheLibrary) {
  Model model("assets/demo");
  const std::vector<int32_t> prompt = model.tokenize(kPrompt);
  const std::string text = model.generate(prompt, greedy(8)).text;
  bitloom_model* raw = nullptr;
  ASSERT_EQ(bitloom_load("assets/demo", nullptr, &raw), BITLOOM_OK);
  const auto broken = [](const char*, size_t, void*) -> int { throw std::runtime_error("broken pipe"); };
  EXPECT_EQ(bitloom_generate(raw, prompt.data(), prompt.size(), nullptr, broken, nullptr, nullptr), BITLOOM_FAILED);
  EXPECT_STREQ(bitloom_error(), "broken pipe");
  const auto append = [](const char* piece, size_t length, void* user) {
    static_cast<std::string*>(user)->append(piece, length);
    return 0;
  };
  std::string after;
  const GenerateOptions options = greedy(8);
  EXPECT_EQ(bitloom_generate(raw, prompt.data(), prompt.size(), &options, append, &after, nullptr), BITLOOM_OK);
  EXPECT_EQ(after, text);
  bitloom_free(raw);
}

/// Signals of this process, counted by the thread that handled them.
struct Handled {
  static inline std::atomic<int> here = 0, elsewhere = 0;
  static inline pthread_t caller;

  static void note(int) { ++(pthread_equal(pthread_self(), caller) != 0 ? here : elsewhere); }
};

TEST(Library, SignalsStayWithTheCallersThread) {
  Handled::caller = pthread_self();
  struct sigaction action = {}, before = {};
  action.sa_handler = Handled::note;  // on the thread's own stack, as in most programs
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
  const itimerval often = {.it_interval = {0, 200}, .it_value = {0, 200}}, never = {};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  LoadOptions exact;
  exact.exact = 1;  // products of prompts by sgemm
  Model model("assets/demo", exact);
  bool same_thread = true;
  const std::vector<int32_t> prompt = model.tokenize("Once upon a time there was a little girl who had a dog.");
  const Generated made = model.generate(prompt, greedy(24), [&](std::string_view) {
    same_thread = same_thread && pthread_equal(pthread_self(), Handled::caller) != 0;
    return true;
  });
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  EXPECT_TRUE(same_thread);
  EXPECT_GT(Handled::here, 0);
  EXPECT_EQ(Handled::elsewhere, 0);
  EXPECT_EQ(Model("assets/demo", exact).generate(prompt, greedy(24)).text, made.text);
}

/// By name: only the library is linked with OpenMP.
TEST(Library, SettingsOfOpenMpAreTheHosts) {
  const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  const auto get = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  ASSERT_TRUE(set != nullptr && get != nullptr) << "oneDNN comes with OpenMP";
  const int before = get();
  set(3);
  LoadOptions exact;
  exact.exact = 1;
  Model model("assets/demo", exact);
  model.generate(model.tokenize("Once upon a time there was a little girl who had a dog."), greedy(8));
  EXPECT_EQ(get(), 3);
  set(before);
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
  options.lookup = 3;
  EXPECT_EQ(model.generate(prompt, options).text, text);
  options.lookup = 4;
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
  GenerateOptions later = greedy(1);
  later.reserved = 1;
  EXPECT_EQ(status_of([&] { model.generate(prompt, later); }, "reserved is 1"), BITLOOM_USAGE);
}

TEST(Library, TextWithAZeroByteIsNotCut) {
  const std::string text("Once\0upon", 9);
  EXPECT_EQ(status_of([&] { Model{text}; }, "path holds a zero byte, at 4"), BITLOOM_USAGE);
  const Model model("assets/demo");
  EXPECT_EQ(status_of([&] { model.tokenize(text); }, "text holds a zero byte, at 4"), BITLOOM_USAGE);
  EXPECT_EQ(status_of([&] { model.render_chat({{text, "Hello"}}); }, "role holds a zero byte"), BITLOOM_USAGE);
  EXPECT_EQ(status_of([&] { model.render_chat({{"user", text}}); }, "content holds a zero byte"), BITLOOM_USAGE);
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

/// Of a program that was compiled when the seconds were not there, and of one whose header knows more.
TEST(Library, NoMoreOfAResultIsWrittenThanTheCallerHas) {
  bitloom_model* model = nullptr;
  ASSERT_EQ(bitloom_load("assets/demo", nullptr, &model), BITLOOM_OK) << bitloom_error();
  const std::vector<int32_t> prompt{1, 2, 3};
  const GenerateOptions options = greedy(4);
  const auto generate = [&](bitloom_generated* result) {
    return bitloom_generate(model, prompt.data(), prompt.size(), &options, nullptr, nullptr, result);
  };
  bitloom_generated older = {};
  EXPECT_EQ(generate(&older), BITLOOM_USAGE) << "size was not set";
  older.size = offsetof(bitloom_generated, prompt_seconds);
  older.tokens = -1;
  older.prompt_seconds = -1;
  EXPECT_EQ(generate(&older), BITLOOM_OK) << bitloom_error();
  EXPECT_EQ(older.size, offsetof(bitloom_generated, prompt_seconds));
  EXPECT_GE(older.tokens, 0);
  EXPECT_EQ(older.prompt_seconds, -1);
  struct {
    bitloom_generated known = {};
    int64_t later = -1;
  } newer;
  newer.known.size = sizeof newer;
  EXPECT_EQ(generate(&newer.known), BITLOOM_OK) << bitloom_error();
  EXPECT_EQ(newer.known.size, sizeof(bitloom_generated));
  EXPECT_EQ(newer.later, -1);
  bitloom_free(model);
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

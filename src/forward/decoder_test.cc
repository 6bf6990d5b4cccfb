// The decoder against transformers' logits, and against itself. tests/oracle/forward_tiny.py makes the models.

#include "forward/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/test_data.h"
#include "forward/attention/kv_pages.h"
#include "forward/golden_models.h"
#include "forward/test_inputs.h"
#include "io/safetensors/safetensors.h"
#include "model/architecture.h"
#include "model/checkpoint/checkpoint.h"
#include "model/test_linears.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

// Models with a vision tower, whose text model is tested under its own name.
const std::set<std::string> kTextOfAnother = {"gemma3", "gemma4", "mistral3"};

std::string directory(const std::string& model) { return testing::golden("forward/" + model); }

struct Golden {
  int64_t batch = 0, length = 0, vocab = 0;
  std::vector<int32_t> tokens;  // [batch, length]
  std::vector<float> logits;    // [batch, length, vocab]

  // The logits' range, the unit of all differences here.
  float range() const {
    const auto [low, high] = std::minmax_element(logits.begin(), logits.end());
    return *high - *low;
  }
  std::span<const int32_t> sequence(int64_t b) const {
    return std::span(tokens).subspan(static_cast<size_t>(b * length), static_cast<size_t>(length));
  }
  std::span<const float> rows(int64_t b) const {
    return std::span(logits).subspan(static_cast<size_t>(b * length * vocab), static_cast<size_t>(length * vocab));
  }
};

Golden read_golden(const std::string& path) {
  const SafetensorsFile file = open_safetensors(path);
  Golden golden;
  for (const TensorView& tensor : file.tensors) {
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    decode_to_f32(tensor.dtype, tensor.bytes.data(), 0, tensor.elements(), values.data());
    if (tensor.name == "tokens") golden.tokens.assign(values.begin(), values.end());
    if (tensor.name != "logits") continue;
    golden.logits = values;
    golden.batch = tensor.shape.at(0), golden.length = tensor.shape.at(1), golden.vocab = tensor.shape.at(2);
  }
  return golden;
}

Golden golden_of(const std::string& model) { return read_golden(directory(model) + "/golden.safetensors"); }

std::vector<float> logits_of(const Decoder& decoder, std::span<const float> hidden) {
  const int64_t rows = static_cast<int64_t>(hidden.size()) / decoder.hidden_width();
  std::vector<float> out(static_cast<size_t>(rows * decoder.graph().vocab_size));
  decoder.logits(hidden, rows, out.data());
  return out;
}

std::vector<float> whole(Decoder& decoder, const Golden& golden) {
  return logits_of(decoder, decoder.forward(golden.tokens, golden.batch, golden.length));
}

// One sequence with a cache, in pieces of the given sizes; the last size repeats.
std::vector<float> in_pieces(Decoder& decoder, std::span<const int32_t> tokens, std::vector<size_t> sizes) {
  KvCache cache(decoder.graph(), static_cast<int64_t>(tokens.size()));
  std::vector<float> all;
  for (size_t at = 0, piece = 0; at < tokens.size(); ++piece) {
    const size_t size = std::min(sizes[std::min(piece, sizes.size() - 1)], tokens.size() - at);
    const std::vector<float> part = logits_of(decoder, decoder.step(tokens.subspan(at, size), cache));
    all.insert(all.end(), part.begin(), part.end());
    at += size;
  }
  EXPECT_EQ(cache.size(), static_cast<int64_t>(tokens.size()));
  return all;
}

float max_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (std::isnan(difference) || difference > worst) worst = difference;  // NaN is the worst, and stays
  }
  return worst;
}

// What the project promises against transformers, as a share of the logits' range.
constexpr float kPromise = 1e-4f;
// Two orders of the same fp32 sums. A sum of at most 96 products differs by 96 * 2^-24 = 6e-6 of its terms at the very
// worst and by a tenth of that typically; a dozen sums follow each other.
constexpr float kReordered = 1e-5f;

// docs/architectures.md tells what is peculiar to each.
class GoldenModel : public ::testing::TestWithParam<std::string> {
 protected:
  std::string model() const { return GetParam(); }
  ThreadPool threads_{2};
};

TEST_P(GoldenModel, LogitsEqualTransformers) {
  const Golden golden = golden_of(model());
  ASSERT_GT(golden.range(), 5.0f);
  Decoder decoder(Checkpoint::open(directory(model())), threads_);
  const float whole_error = max_difference(whole(decoder, golden), golden.logits) / golden.range();
  EXPECT_LE(whole_error, kPromise);
  float cache_error = 0;
  for (int64_t b = 0; b < golden.batch; ++b) {
    for (const std::vector<size_t>& sizes : {std::vector<size_t>{1}, {7, 1}, {7, 100}, {3, 5}}) {
      const std::vector<float> logits = in_pieces(decoder, golden.sequence(b), sizes);
      cache_error = std::max(cache_error, max_difference(logits, golden.rows(b)) / golden.range());
    }
  }
  EXPECT_LE(cache_error, kPromise);
  std::printf("| %-20s | %.1e | %.1e |\n", model().c_str(), whole_error, cache_error);
}

// Those whose rope settings transformers 4 spelled differently: config_v4.json lies beside config.json.
class TwoSpellings : public GoldenModel {};

TEST_P(TwoSpellings, OlderConfigIsTheSameModel) {
  const testing::TempDir copy;
  std::filesystem::copy(directory(model()) + "/model.safetensors", copy.file("model.safetensors"));
  std::filesystem::copy(directory(model()) + "/config_v4.json", copy.file("config.json"));
  const Golden golden = golden_of(model());
  Decoder old(Checkpoint::open(copy.path()), threads_), current(Checkpoint::open(directory(model())), threads_);
  EXPECT_EQ(whole(old, golden), whole(current, golden));
}

TEST_P(GoldenModel, WholeSequenceEqualsSteps) {
  const Golden golden = golden_of(model());
  Decoder decoder(Checkpoint::open(directory(model())), threads_);
  const std::vector<float> all = logits_of(decoder, decoder.forward(golden.sequence(0), 1, golden.length));
  EXPECT_LE(max_difference(in_pieces(decoder, golden.sequence(0), {1}), all), kReordered * golden.range());
  EXPECT_LE(max_difference(in_pieces(decoder, golden.sequence(0), {11}), all), kReordered * golden.range());
}

TEST_P(GoldenModel, BatchEqualsSingleRuns) {
  const Golden golden = golden_of(model());
  Decoder decoder(Checkpoint::open(directory(model())), threads_);
  const std::vector<float> both = whole(decoder, golden);
  const size_t half = both.size() / 2;
  for (int64_t b = 0; b < 2; ++b) {
    const std::vector<float> one = logits_of(decoder, decoder.forward(golden.sequence(b), 1, golden.length));
    const auto of_both = std::span<const float>(both).subspan(static_cast<size_t>(b) * half, half);
    EXPECT_LE(max_difference(one, of_both), kReordered * golden.range());
  }
}

// A tree over one text: pieces that continue each other, and side branches that must not be seen.
TEST_P(GoldenModel, BranchesEqualWholeSequences) {
  const Golden golden = golden_of(model());
  Decoder decoder(Checkpoint::open(directory(model())), threads_);
  const std::span<const int32_t> text = golden.sequence(0), other = golden.sequence(1);
  for (const size_t cached : {0u, 1u, 13u}) {
    KvCache prefix(decoder.graph(), golden.length);
    decoder.step(text.first(cached), prefix);
    const std::vector<Branch> tree = {
        {text.subspan(cached, 5), -1},     // the text
        {other.first(9), -1},              // beside it
        {other.subspan(5, 2), 0},          // leaves the text after the first piece
        {text.subspan(cached + 5, 1), 0},  // the text goes on
        {text.subspan(cached + 6), 3},     // to its end
        {{}, 4},                           // nothing
        {text.subspan(cached + 6, 3), 3},  // the same again
    };
    const std::vector<float> rows = logits_of(decoder, decoder.branches(tree, prefix));
    EXPECT_EQ(prefix.size(), static_cast<int64_t>(cached));
    size_t at = 0;
    for (size_t b = 0; b < tree.size(); ++b) {
      // The branch's path from the root, and what the last rows of that whole sequence are.
      std::vector<int32_t> path(tree[b].tokens.begin(), tree[b].tokens.end());
      for (int64_t p = tree[b].parent; p >= 0; p = tree[static_cast<size_t>(p)].parent) {
        const std::span<const int32_t> before = tree[static_cast<size_t>(p)].tokens;
        path.insert(path.begin(), before.begin(), before.end());
      }
      path.insert(path.begin(), text.begin(), text.begin() + static_cast<int64_t>(cached));
      const std::vector<float> whole = logits_of(decoder, decoder.forward(path, 1, static_cast<int64_t>(path.size())));
      const size_t count = tree[b].tokens.size() * static_cast<size_t>(golden.vocab);
      EXPECT_LE(max_difference(std::span(rows).subspan(at, count), std::span(whole).last(count)),
                kReordered * golden.range())
          << "branch " << b << " after " << cached;
      at += count;
    }
    EXPECT_EQ(at, rows.size());
  }
}

// Two texts side by side in pages that lie anywhere, the second one behind; then a third that begins with a page of the
// first.
TEST_P(GoldenModel, SequencesInPagesEqualSingleRuns) {
  const Golden golden = golden_of(model());
  Decoder decoder(Checkpoint::open(directory(model())), threads_);
  const std::span<const int32_t> first = golden.sequence(0), second = golden.sequence(1);
  const auto expected = [&](std::span<const int32_t> text) {
    const std::vector<float> all = logits_of(decoder, decoder.forward(text, 1, static_cast<int64_t>(text.size())));
    return std::vector<float>(all.end() - golden.vocab, all.end());
  };
  const std::vector<float> first_end = expected(first), second_end = expected(second.first(9));
  KvPages pages(decoder.graph(), 8);
  const std::vector<std::vector<int64_t>> held = {{6, 1, 2, 3}, {5, 4}};
  const auto runs_of = [&](size_t sequence, size_t rows) {
    std::vector<KvRun> runs;
    pages.add_runs(held[sequence], static_cast<int64_t>(rows), runs);
    return runs;
  };
  std::vector<float> logits;
  for (size_t at = 0; at < first.size(); at += 7) {
    const size_t end = std::min(first.size(), at + 7), begin = at < 7 ? 0 : at - 7,
                 behind = begin < 9 ? std::min<size_t>(9, at) : 0;
    const std::vector<KvRun> of_first = runs_of(0, end), of_second = runs_of(1, behind);
    std::vector<SequenceStep> steps = {{first.subspan(at, end - at), static_cast<int64_t>(at), of_first}};
    if (behind > begin)
      steps.insert(steps.begin(), {second.subspan(begin, behind - begin), static_cast<int64_t>(begin), of_second});
    logits = logits_of(decoder, decoder.steps(steps));
    if (behind != 9) continue;
    const auto row =
        std::span(logits).subspan((behind - begin - 1) * static_cast<size_t>(golden.vocab)).first(second_end.size());
    EXPECT_LE(max_difference(row, second_end), kReordered * golden.range());
  }
  EXPECT_LE(max_difference(std::span(logits).last(first_end.size()), first_end), kReordered * golden.range());
}

// Neighbouring pages are one run.
TEST(KvPages, RunsOfPages) {
  const auto model = Checkpoint::open(directory("llama"));
  KvPages pages(model->graph(), 10);
  std::vector<KvRun> runs;
  pages.add_runs(std::vector<int64_t>{2, 3, 4, 8, 1}, 3 * kKvPageRows + 5, runs);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].first, 2 * kKvPageRows);
  EXPECT_EQ(runs[0].rows, 3 * kKvPageRows);
  EXPECT_EQ(runs[1].first, 8 * kKvPageRows);
  EXPECT_EQ(runs[1].rows, 5);
}

// Some of gemma3_text's blocks have a window.
TEST(KvPages, BytesOfEveryFormat) {
  const auto model = Checkpoint::open(directory("gemma3_text"));
  int64_t channels = 0, heads = 0, seen = 0;
  for (const Block& block : model->graph().blocks) {
    const Attention& attention = block.attention;
    ASSERT_EQ(attention.values(), attention.head_dim);
    channels += 2 * attention.kv_heads * attention.head_dim, heads += 2 * attention.kv_heads;
    seen += 2 * attention.kv_heads * attention.head_dim *
            (attention.window > 0 ? std::min<int64_t>(attention.window, 40) : 40);
  }
  ASSERT_LT(seen, 40 * channels) << "some blocks have windows";
  EXPECT_EQ(KvPages::page_bytes(model->graph(), KvFormat::kFp32), kKvPageRows * 4 * channels);
  EXPECT_EQ(KvPages::page_bytes(model->graph(), KvFormat::kFp16), kKvPageRows * 2 * channels);
  EXPECT_EQ(KvPages::page_bytes(model->graph(), KvFormat::kInt8), kKvPageRows * (channels + 4 * heads));
  EXPECT_EQ(KvPages::page_bytes(model->graph(), KvFormat::kFp8), KvPages::page_bytes(model->graph(), KvFormat::kInt8));
  EXPECT_EQ(kv_bytes_read(model->graph(), KvFormat::kBf16, 40), 2 * seen);
  EXPECT_EQ(kv_bytes_read(model->graph(), KvFormat::kInt8, 1), channels + 4 * heads);
}

// What a format of the cache changes is what rounding to it changes, in prompts and single steps alike. A kept channel
// errs by at most `step` of itself, of int8 of its head's greatest. Scores, of size 4 or less in most heads, err by 4
// steps, probabilities by twice that, values by one: attention by 9 of its size, and the logits by about as much of
// their range (at most 4.6 in these models). A token that chooses other experts for it may change as it likes, but
// stays finite.
TEST_P(GoldenModel, KeptKeysAndValuesAreRounded) {
  const Golden golden = golden_of(model());
  Decoder decoder(Checkpoint::open(directory(model())), threads_);
  const std::span<const int32_t> text = golden.sequence(0), prompt = text.first(text.size() - 5);
  const auto run = [&](KvFormat format) {
    KvCache cache(decoder.graph(), golden.length, format);
    std::vector<float> all = logits_of(decoder, decoder.step(prompt, cache));
    for (const int32_t& token : text.subspan(prompt.size())) {
      const std::vector<float> next = logits_of(decoder, decoder.step({&token, 1}, cache));
      all.insert(all.end(), next.begin(), next.end());
    }
    return all;
  };
  const std::vector<float> exact = run(KvFormat::kFp32);
  const std::vector<Block>& blocks = decoder.graph().blocks;
  const bool chooses = std::any_of(blocks.begin(), blocks.end(), [](const Block& b) { return b.experts.present(); });
  const struct {
    KvFormat format;
    double step;
  } formats[] = {
      {KvFormat::kFp16, 0x1p-11}, {KvFormat::kBf16, 0x1p-8}, {KvFormat::kInt8, 1.0 / 254}, {KvFormat::kFp8, 0x1p-4}};
  for (const auto& [format, step] : formats) {
    const double difference = max_difference(run(format), exact);
    EXPECT_GT(difference, 0) << name_of(format);
    EXPECT_TRUE(std::isfinite(difference)) << name_of(format);
    if (!chooses) {
      EXPECT_LT(difference, 10 * step * golden.range()) << name_of(format);
    }
  }
}

TEST_P(GoldenModel, AnyNumberOfThreadsGivesTheSameBytes) {
  const Golden golden = golden_of(model());
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    ThreadPool threads(count);
    Decoder decoder(Checkpoint::open(directory(model())), threads);
    results.push_back(whole(decoder, golden));
    const std::vector<float> steps = in_pieces(decoder, golden.sequence(1), {5, 1});
    KvCache empty(decoder.graph(), 0);
    const std::vector<Branch> tree = {{golden.sequence(0), -1}, {golden.sequence(1), 0}, {golden.sequence(1), -1}};
    if (decoder.graph().max_positions >= 2 * golden.length) {
      const std::vector<float> branches = logits_of(decoder, decoder.branches(tree, empty));
      results.back().insert(results.back().end(), branches.begin(), branches.end());
    }
    results.back().insert(results.back().end(), steps.begin(), steps.end());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

INSTANTIATE_TEST_SUITE_P(Tiny, GoldenModel, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& test) { return test.param; });

INSTANTIATE_TEST_SUITE_P(Tiny, TwoSpellings, ::testing::ValuesIn(testing::golden_models("config_v4.json")),
                         [](const auto& test) { return test.param; });

TEST(Golden, EveryArchitectureHasAModel) {
  std::set<std::string> tested;
  for (const std::string& model : testing::golden_models()) {
    tested.insert(Checkpoint::open(directory(model))->graph().architecture);
  }
  for (const Architecture& architecture : architectures()) {
    if (kTextOfAnother.contains(architecture.model_type)) continue;
    EXPECT_TRUE(tested.contains(architecture.model_type)) << architecture.model_type;
  }
}

// Whole sequences alone: a token changes those before it, so there are no steps.
TEST(Golden, BidirectionalGemma3) {
  ThreadPool threads(2);
  const Golden golden = golden_of("bidirectional/gemma3_text");
  ASSERT_GT(golden.range(), 5.0f);
  const auto checkpoint = Checkpoint::open(directory("bidirectional/gemma3_text"));
  EXPECT_THAT(checkpoint->remarks(), ::testing::ElementsAre(HasSubstr("perplexity says little of this model")));
  Decoder decoder(checkpoint, threads);
  EXPECT_LE(max_difference(whole(decoder, golden), golden.logits), kPromise * golden.range());
  KvCache cache(decoder.graph(), 4);
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { decoder.step(golden.sequence(0).first(1), cache); }),
              HasSubstr("is bidirectional, which has no steps"));
}

TEST(Golden, Stories260K) {
  BITLOOM_REQUIRE_SHARED("models/stories260K");
  const Golden golden = read_golden(testing::golden("forward/stories260K.safetensors"));
  ThreadPool threads(2);
  Decoder decoder(Checkpoint::open(testing::shared_path("models/stories260K")), threads);
  const float whole_error = max_difference(whole(decoder, golden), golden.logits) / golden.range();
  const float cache_error =
      max_difference(in_pieces(decoder, golden.sequence(0), {9, 1}), golden.logits) / golden.range();
  EXPECT_LE(whole_error, kPromise);
  EXPECT_LE(cache_error, kPromise);
  std::printf("| %-20s | %.1e | %.1e |\n", "stories260K", whole_error, cache_error);
}

class DecoderTest : public ::testing::Test {
 protected:
  template <typename Body>
  static void expect_refused(const Body& body, const std::vector<std::string>& parts) {
    try {
      body();
      ADD_FAILURE() << "nothing was refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kRefused);
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
  ThreadPool threads_{2};
};

TEST_F(DecoderTest, RefusesTokensOutsideTheVocabulary) {
  Decoder decoder(Checkpoint::open(directory("llama")), threads_);
  const std::vector<int32_t> high = {1, 2, 64}, low = {-1};
  expect_refused([&] { decoder.forward(high, 1, 3); },
                 {directory("llama"), "token id 64 (number 2 of the input)", "vocabulary, 0 to 63"});
  KvCache cache(decoder.graph(), 4);
  expect_refused([&] { decoder.step(low, cache); }, {"token id -1 (number 0 of the input)"});
  EXPECT_EQ(cache.size(), 0);
}

TEST_F(DecoderTest, RefusesMoreThanTheLearnedPositions) {
  for (const std::string model : {"opt", "gpt2"}) {
    Decoder decoder(Checkpoint::open(directory(model)), threads_);
    const std::vector<int32_t> tokens(65, 3);
    expect_refused([&] { decoder.forward(tokens, 1, 65); },
                   {directory(model), "65 tokens is too long", "learned positions for 64"});
    EXPECT_EQ(decoder.forward(std::span(tokens).first(64), 1, 64).size(), 64u * 32);
    KvCache cache(decoder.graph(), 100);
    decoder.step(std::span(tokens).first(60), cache);
    expect_refused([&] { decoder.step(std::span(tokens).first(5), cache); }, {"65 tokens is too long"});
    EXPECT_EQ(cache.size(), 60);
  }
}

TEST_F(DecoderTest, RefusesBranchesBeyondTheLearnedPositions) {
  Decoder decoder(Checkpoint::open(directory("gpt2")), threads_);
  const std::vector<int32_t> tokens(40, 3);
  KvCache cache(decoder.graph(), 64);
  decoder.step(std::span(tokens).first(20), cache);
  const std::vector<Branch> deep = {{std::span(tokens).first(20), -1}, {std::span(tokens).first(25), 0}};
  expect_refused([&] { decoder.branches(deep, cache); }, {"65 tokens is too long", "learned positions for 64"});
  const std::vector<Branch> wide = {{std::span(tokens), -1}, {std::span(tokens), -1}};
  EXPECT_EQ(decoder.branches(wide, cache).size(), 80u * 32);
  EXPECT_TRUE(decoder.branches({}, cache).empty());
}

TEST_F(DecoderTest, RefusesMoreThanTheCacheHolds) {
  Decoder decoder(Checkpoint::open(directory("llama")), threads_);
  KvCache cache(decoder.graph(), 6);
  const std::vector<int32_t> tokens = {1, 2, 3, 4};
  decoder.step(tokens, cache);
  expect_refused([&] { decoder.step(tokens, cache); }, {"4 tokens do not fit the cache, which holds 4 of 6"});
  EXPECT_EQ(cache.size(), 4);
  EXPECT_EQ(cache.capacity(), 6);
}

TEST_F(DecoderTest, AClearedCacheStartsAnew) {
  Decoder decoder(Checkpoint::open(directory("gemma3_text")), threads_);
  const std::vector<int32_t> first = {9, 8, 7, 6, 5, 4, 3}, second = {1, 2, 3};
  KvCache used(decoder.graph(), 10), fresh(decoder.graph(), 10);
  decoder.step(first, used);
  used.clear();
  const auto of_used = decoder.step(second, used);
  const std::vector<float> expected(of_used.begin(), of_used.end());
  const auto of_fresh = decoder.step(second, fresh);
  EXPECT_TRUE(std::equal(of_fresh.begin(), of_fresh.end(), expected.begin(), expected.end()));
}

TEST_F(DecoderTest, TwoCachesAreTwoConversations) {
  Decoder decoder(Checkpoint::open(directory("llama")), threads_);
  const std::vector<int32_t> a = {1, 2, 3}, b = {4, 5, 6, 7}, next = {8};
  const auto last = [&](std::span<const int32_t> prompt, std::span<const int32_t> between) {
    KvCache cache(decoder.graph(), 16), other(decoder.graph(), 16);
    decoder.step(prompt, cache);
    if (!between.empty()) decoder.step(between, other);
    const auto hidden = decoder.step(next, cache);
    return std::vector<float>(hidden.begin(), hidden.end());
  };
  EXPECT_EQ(last(a, b), last(a, {}));
  EXPECT_NE(last(a, {}), last(b, {}));
}

// A window hides the tokens before it, however many blocks there are between: with one block of window 11 the last
// position of a text depends on its last 11 tokens alone.
TEST_F(DecoderTest, OldTokensLeaveTheWindow) {
  Decoder decoder(Checkpoint::open(directory("mistral")), threads_);
  ASSERT_EQ(decoder.graph().blocks.size(), 2u);
  ASSERT_EQ(decoder.graph().blocks[0].attention.window, 11);
  std::vector<int32_t> tokens(40);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7 % 64);
  const auto last_row = [&] {
    const auto hidden = decoder.forward(tokens, 1, 40);
    return std::vector<float>(hidden.end() - 32, hidden.end());
  };
  const std::vector<float> before = last_row();
  tokens[39 - 2 * 10 - 1] = 63;  // two blocks reach back 10 tokens each
  EXPECT_EQ(last_row(), before);
  tokens[39 - 2 * 10] = 63;
  EXPECT_NE(last_row(), before);
}

class Rounded : public DecoderTest, public ::testing::WithParamInterface<const char*> {};

void set_formats(Decoder& decoder, const std::optional<ActivationFormat>& format) {
  for (int b = 0; b < static_cast<int>(decoder.graph().blocks.size()); ++b) {
    for (int i = 0; i < input_count(decoder.graph(), b); ++i) decoder.set_activation_format(b, i, format);
  }
}

// Whole texts and steps apply activation formats; taken back, nothing of them stays.
TEST_P(Rounded, InWholeTextsAndInSteps) {
  const auto model = Checkpoint::open(directory(GetParam()));
  const Golden golden = golden_of(GetParam());
  const ActivationFormat format = parse_activation_format("int8-token");
  Decoder decoder(model, threads_);
  const auto row_of_step = [&] { return in_pieces(decoder, golden.sequence(0).first(1), {1}); };
  const std::vector<float> exact = whole(decoder, golden), exact_step = row_of_step();
  set_formats(decoder, format);
  std::vector<float> expected = testing::visit_inputs(
      *model, golden.tokens, golden.batch, golden.length, threads_, [](int, int, std::span<const float>) {}, format);
  const OuterWeights outer = load_outer_weights(*model);
  norm_rows(outer.final_norm, expected.data(), golden.batch * golden.length, expected.data(), threads_);
  const auto hidden = decoder.forward(golden.tokens, golden.batch, golden.length);
  EXPECT_EQ(std::vector<float>(hidden.begin(), hidden.end()), expected);
  const std::vector<float> rounded = whole(decoder, golden), rounded_step = row_of_step();
  EXPECT_NE(rounded, exact);
  // A text of one token is the same in one go and in one step: what is rounded is the same.
  EXPECT_NE(rounded_step, exact_step);
  EXPECT_EQ(rounded_step, logits_of(decoder, decoder.forward(golden.sequence(0).first(1), 1, 1)));
  set_formats(decoder, std::nullopt);
  EXPECT_EQ(whole(decoder, golden), exact);
  EXPECT_EQ(row_of_step(), exact_step);
}

INSTANTIATE_TEST_SUITE_P(Tiny, Rounded, ::testing::Values("llama", "gemma2", "phi3", "gpt_neox", "qwen2_moe"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(DecoderTest, NoTokensNoRows) {
  Decoder decoder(Checkpoint::open(directory("llama")), threads_);
  EXPECT_TRUE(decoder.forward({}, 1, 0).empty());
  KvCache cache(decoder.graph(), 1);
  EXPECT_TRUE(decoder.step({}, cache).empty());
}

}  // namespace
}  // namespace bitloom

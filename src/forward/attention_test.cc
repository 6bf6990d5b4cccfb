#include "forward/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "forward/softmax.h"

namespace bitloom {
namespace {

struct Case {
  std::string name;
  int64_t batch, queries, keys, heads, kv_heads, head_dim, window;
  float softcap;
  QkvLayout layout;
  Mask mask = Mask::kCausal;
};

// Queries, keys and values of a case, arranged in the case's layout.
class Problem {
 public:
  explicit Problem(const Case& c) : case_(c) {
    Attention spec;
    spec.layout = c.layout;
    spec.heads = c.heads, spec.kv_heads = c.kv_heads, spec.head_dim = c.head_dim;
    // One buffer with a row per key; queries use the last rows of each sequence, as a whole pass would.
    const int64_t rows = c.batch * c.keys;
    buffer_.resize(static_cast<size_t>(rows * qkv_width(spec)));
    Rng rng(3, static_cast<uint64_t>(rows));
    for (float& x : buffer_) x = static_cast<float>(2.0 * rng.normal());
    const QkvViews views = qkv_views(spec, buffer_.data(), rows);
    call.q = views.q, call.k = views.k, call.v = views.v;
    // One sequence may have fewer queries than keys (a cache); with more sequences all keys are queries.
    call.q.data += (c.keys - c.queries) * call.q.row_stride;
    call.batch = c.batch, call.queries = c.queries, call.keys = c.keys;
    call.heads = c.heads, call.kv_heads = c.kv_heads, call.head_dim = c.head_dim;
    call.scale = 0.4f, call.softcap = c.softcap, call.window = c.window, call.mask = c.mask;
    out.assign(static_cast<size_t>(c.batch * c.queries * c.heads * c.head_dim), -77.0f);
    call.out = out.data();
  }

  // The definition, one query, head and key after another, in fp64.
  std::vector<double> reference() const {
    std::vector<double> result;
    for (int64_t b = 0; b < case_.batch; ++b) {
      for (int64_t i = 0; i < case_.queries; ++i) {
        for (int64_t h = 0; h < case_.heads; ++h) append_query(b, i, h, result);
      }
    }
    return result;
  }

  AttentionCall call;
  std::vector<float> out;

 private:
  void append_query(int64_t b, int64_t i, int64_t h, std::vector<double>& result) const {
    const int64_t position = case_.keys - case_.queries + i, kv = h / (case_.heads / case_.kv_heads);
    std::vector<double> sums(static_cast<size_t>(case_.head_dim));
    double total = 0;
    for (int64_t j = 0; j < case_.keys; ++j) {
      if (case_.mask == Mask::kCausal && j > position) continue;
      if (case_.window > 0 && std::abs(j - position) >= case_.window) continue;
      double score = 0;
      for (int64_t c = 0; c < case_.head_dim; ++c) {
        score += static_cast<double>(call.q.at(b * case_.queries + i, h)[c]) * call.k.at(b * case_.keys + j, kv)[c];
      }
      score *= 0.4f;
      if (case_.softcap > 0) score = case_.softcap * std::tanh(score / case_.softcap);
      const double p = std::exp(score - 40.0);  // scores stay below 100: no overflow in fp64 either way
      total += p;
      for (int64_t c = 0; c < case_.head_dim; ++c) {
        sums[static_cast<size_t>(c)] += p * call.v.at(b * case_.keys + j, kv)[c];
      }
    }
    for (const double sum : sums) result.push_back(sum / total);
  }

  Case case_;
  std::vector<float> buffer_;
};

std::vector<Case> cases() {
  const QkvLayout separate = QkvLayout::kSeparate, concatenated = QkvLayout::kConcatenated,
                  per_head = QkvLayout::kPerHead;
  return {
      {"one_token", 1, 1, 1, 4, 2, 8, 0, 0, separate},
      {"plain", 2, 33, 33, 3, 3, 8, 0, 0, separate},
      {"grouped_many_tiles", 2, 150, 150, 6, 2, 8, 0, 0, separate},
      {"one_key_head", 1, 70, 70, 8, 1, 16, 0, 0, separate},
      {"more_heads_than_tile_rows", 1, 5, 5, 160, 1, 4, 0, 0, separate},
      {"window", 2, 200, 200, 4, 2, 8, 13, 0, separate},
      {"window_of_one", 1, 140, 140, 2, 1, 8, 1, 0, separate},
      {"window_longer_than_text", 1, 20, 20, 2, 1, 8, 64, 0, separate},
      {"softcap", 1, 140, 140, 2, 2, 8, 0, 5.0f, separate},
      {"softcap_and_window", 1, 140, 140, 2, 2, 8, 30, 5.0f, separate},
      {"concatenated", 2, 50, 50, 4, 2, 6, 0, 0, concatenated},
      {"per_head", 2, 50, 50, 4, 4, 6, 7, 0, per_head},
      {"one_query_over_cache", 1, 1, 300, 4, 2, 8, 0, 0, separate},
      {"one_query_over_cache_window", 1, 1, 300, 4, 2, 8, 9, 0, separate},
      {"some_queries_over_cache", 1, 140, 300, 4, 2, 8, 40, 0, separate},
      {"bidirectional", 2, 150, 150, 4, 2, 8, 0, 0, separate, Mask::kBidirectional},
      {"bidirectional_window", 2, 150, 150, 4, 4, 8, 9, 5.0f, per_head, Mask::kBidirectional},
  };
}

class AttentionTest : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionTest, EqualsItsDefinition) {
  Problem problem(GetParam());
  ThreadPool threads(2);
  AttentionScratch scratch;
  attention(problem.call, scratch, threads);
  const std::vector<double> expected = problem.reference();
  ASSERT_EQ(problem.out.size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(problem.out[i] - expected[i]));
  // A score is 0.4 times a sum of head_dim <= 16 products of magnitude up to 8 * 8: its error is below
  // 0.4 * 16 * 64 * 16 * 2^-24 = 4e-4 in the worst case and sqrt(16) * 2^-24 * 40 = 1e-5 typically; a probability has
  // that as its relative error, twice (numerator and sum), and values are below 10.
  EXPECT_LT(worst, 10 * 2 * 1e-5);
}

TEST_P(AttentionTest, AnyNumberOfThreadsGivesTheSameBytes) {
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    Problem problem(GetParam());
    ThreadPool threads(count);
    AttentionScratch scratch;
    attention(problem.call, scratch, threads);
    results.push_back(problem.out);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTest, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

// A scratch that served a larger call before changes nothing.
TEST(Attention, UsedScratchIsHarmless) {
  const std::vector<Case> all = cases();
  ThreadPool threads(2);
  AttentionScratch used;
  for (const Case& c : all) {
    Problem fresh(c), again(c);
    AttentionScratch clean;
    attention(fresh.call, clean, threads);
    attention(again.call, used, threads);
    EXPECT_EQ(fresh.out, again.out) << c.name;
  }
}

TEST(Softmax, LargeScoresDoNotOverflow) {
  std::vector<float> scores = {3e4f, 3e4f - 1.0f, -3e4f};
  const float total = exp_shifted(scores.data(), 3);
  EXPECT_EQ(scores[0], 1.0f);
  EXPECT_NEAR(scores[1], std::exp(-1.0), 1e-7);
  EXPECT_EQ(scores[2], 0.0f);
  EXPECT_NEAR(total, 1 + std::exp(-1.0), 3e-7);
}

TEST(Softmax, EveryLengthSumsAllItsTerms) {
  for (size_t count = 1; count < 70; ++count) {
    std::vector<float> scores(count, 2.5f);
    EXPECT_EQ(exp_shifted(scores.data(), static_cast<int64_t>(count)), static_cast<float>(count));
    for (const float p : scores) EXPECT_EQ(p, 1.0f);
    scores.assign(count, 0.0f);
    scores[count - 1] = 10.0f;  // the maximum is found wherever it stands
    exp_shifted(scores.data(), static_cast<int64_t>(count));
    EXPECT_EQ(scores[count - 1], 1.0f);
  }
}

TEST(Softmax, NanShows) {
  std::vector<float> scores(40, 1.0f);
  scores[21] = std::nanf("");
  EXPECT_TRUE(std::isnan(exp_shifted(scores.data(), 40)));
}

TEST(Softmax, SoftCap) {
  std::vector<float> scores = {0.0f, 1.0f, -1000.0f, 1e30f};
  soft_cap(50.0f, scores.data(), 4);
  EXPECT_EQ(scores[0], 0.0f);
  EXPECT_NEAR(scores[1], 50 * std::tanh(1.0 / 50), 50 * 4 * 0x1p-24);
  EXPECT_EQ(scores[2], -50.0f);
  EXPECT_EQ(scores[3], 50.0f);
}

}  // namespace
}  // namespace bitloom

#include "forward/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "forward/attention/softmax.h"
#include "ops/packed_linear.h"

namespace bitloom {
namespace {

struct Case {
  std::string name;
  int64_t batch, queries, keys, heads, kv_heads, head_dim, window;
  float softcap;
  QkvLayout layout;
  Mask mask = Mask::kCausal;
  int64_t page_rows = 0;  // keys and values lie in pages of so many rows; 0: in the pass itself
  bool alibi = false;
  KvFormat format = KvFormat::kFp32;  // of the pages
};

// Queries, keys and values of a case, arranged in the case's layout.
class Problem {
 public:
  explicit Problem(const Case& c) : case_(c) {
    Attention spec;
    spec.layout = c.layout;
    spec.heads = c.heads, spec.kv_heads = c.kv_heads, spec.head_dim = c.head_dim;
    // A row per key, as one pass over all of them would have it.
    const int64_t rows = c.batch * c.keys;
    buffer_.resize(static_cast<size_t>(rows * qkv_width(spec)));
    Rng rng(3, static_cast<uint64_t>(rows));
    for (float& x : buffer_) x = static_cast<float>(2.0 * rng.normal());
    all_ = qkv_views(spec, buffer_.data(), rows);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t h = 0; h < c.kv_heads; ++h) keep(all_.k.at(row, h)), keep(all_.v.at(row, h));
    }
    // The pass has the last rows of each sequence.
    own_.resize(static_cast<size_t>(c.batch * c.queries * qkv_width(spec)));
    const QkvViews views = qkv_views(spec, own_.data(), c.batch * c.queries);
    for (int64_t row = 0; row < c.batch * c.queries; ++row) {
      const int64_t from = row / c.queries * c.keys + c.keys - c.queries + row % c.queries;
      copy_heads(all_.q, from, views.q, row, c.heads);
      copy_heads(all_.k, from, views.k, row, c.kv_heads);
      copy_heads(all_.v, from, views.v, row, c.kv_heads);
    }
    make_pass();
    call.pass = &pass_, call.block = kBlock;
    call.q = views.q, call.k = views.k, call.v = views.v;
    call.heads = c.heads, call.kv_heads = c.kv_heads, call.head_dim = c.head_dim;
    call.scale = 0.4f, call.softcap = c.softcap, call.window = c.window, call.mask = c.mask;
    for (int64_t h = 0; c.alibi && h < c.heads; ++h) slopes_.push_back(0.5f / static_cast<float>(h + 1));
    call.alibi = slopes_;
    out.assign(static_cast<size_t>(c.batch * c.queries * c.heads * c.head_dim), -77.0f);
    call.out = out.data();
  }
  Problem(const Problem&) = delete;

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

  /// A sink for each head; some below all scores, some above.
  void add_sinks() {
    for (int64_t h = 0; h < case_.heads; ++h) sinks_.push_back(static_cast<float>(5 * h - 4));
    call.sinks = sinks_;
  }

  /// Those of each row of probabilities, by a format without a rotation.
  void round_probabilities(const std::string& format) {
    rounder_ = std::make_unique<const InputRounder>(parse_activation_format(format));
    call.probabilities = rounder_.get();
  }

  AttentionCall call;
  std::vector<float> out;

 private:
  void append_query(int64_t b, int64_t i, int64_t h, std::vector<double>& result) const {
    const int64_t position = case_.keys - case_.queries + i, kv = h / (case_.heads / case_.kv_heads);
    std::vector<double> shares;
    std::vector<int64_t> keys;  // of them
    double total = sinks_.empty() ? 0.0 : std::exp(static_cast<double>(sinks_[static_cast<size_t>(h)]) - 40.0);
    for (int64_t j = 0; j < case_.keys; ++j) {
      if (case_.mask == Mask::kCausal && j > position) continue;
      if (case_.window > 0 && std::abs(j - position) >= case_.window) continue;
      double score = 0;
      for (int64_t c = 0; c < case_.head_dim; ++c) {
        score += static_cast<double>(all_.q.at(b * case_.keys + position, h)[c]) * all_.k.at(b * case_.keys + j, kv)[c];
      }
      score *= 0.4f;
      if (case_.alibi)
        score += static_cast<double>(slopes_[static_cast<size_t>(h)]) * static_cast<double>(j - position);
      if (case_.softcap > 0) score = case_.softcap * std::tanh(score / case_.softcap);
      const double p = std::exp(score - 40.0);  // scores stay below 100: no overflow in fp64 either way
      total += p;
      shares.push_back(p), keys.push_back(j);
    }
    for (double& share : shares) share /= total;
    if (rounder_ != nullptr) {
      std::vector<float> row(shares.begin(), shares.end());
      rounder_->round_row(row.data(), static_cast<int64_t>(row.size()), row.data());
      shares.assign(row.begin(), row.end());
    }
    std::vector<double> sums(static_cast<size_t>(case_.head_dim));
    for (size_t k = 0; k < keys.size(); ++k) {
      const float* v = all_.v.at(b * case_.keys + keys[k], kv);
      for (size_t c = 0; c < sums.size(); ++c) sums[c] += shares[k] * static_cast<double>(v[c]);
    }
    result.insert(result.end(), sums.begin(), sums.end());
  }

  static constexpr int kBlock = 2;

  // What is left of a head that is kept; to keep it again changes no more than its scale's last bit.
  void keep(float* head) const {
    std::vector<std::byte> kept(static_cast<size_t>(kv_head_bytes(case_.format, case_.head_dim)));
    write_kv_head(case_.format, head, case_.head_dim, kept.data());
    read_kv_head(case_.format, kept.data(), case_.head_dim, head);
  }
  void write_heads(const HeadView& from, int64_t row, std::byte* to) const {
    for (int64_t h = 0; h < case_.kv_heads; ++h, to += kv_head_bytes(case_.format, case_.head_dim)) {
      write_kv_head(case_.format, from.at(row, h), case_.head_dim, to);
    }
  }

  void copy_heads(const HeadView& from, int64_t row, const HeadView& to, int64_t to_row, int64_t heads) const {
    for (int64_t h = 0; h < heads; ++h) std::copy_n(from.at(row, h), case_.head_dim, to.at(to_row, h));
  }

  // Every page has a row before those that are used; what the pass is to put there holds nonsense.
  void make_pass() {
    if (case_.page_rows == 0) {
      ASSERT_EQ(case_.queries, case_.keys);
      pass_ = Pass::whole(case_.batch, case_.keys);
      return;
    }
    const int64_t before = case_.keys - case_.queries;
    const int64_t width = case_.kv_heads * kv_head_bytes(case_.format, case_.head_dim);
    for (int64_t b = 0; b < case_.batch; ++b) {
      std::vector<KvRun> runs;
      for (int64_t first = 0; first < case_.keys; first += case_.page_rows) {
        const int64_t rows = std::min(case_.page_rows, case_.keys - first);
        std::vector<std::byte>& memory =
            memory_.emplace_back(static_cast<size_t>(2 * (rows + 1) * width), std::byte{126});
        for (int64_t row = 0; row < rows && first + row < before; ++row) {
          write_heads(all_.k, b * case_.keys + first + row, memory.data() + (row + 1) * width);
          write_heads(all_.v, b * case_.keys + first + row, memory.data() + (row + rows + 2) * width);
        }
        std::vector<KvRows>& page = pages_.emplace_back(kBlock + 1);
        page[kBlock] = {memory.data(), memory.data() + (rows + 1) * width, case_.format};
        runs.push_back({page, 1, rows});
      }
      pass_.add(case_.queries, before, case_.keys, runs);
    }
  }

  Case case_;
  std::unique_ptr<const InputRounder> rounder_;
  std::vector<float> sinks_;
  std::vector<float> buffer_, own_;
  std::vector<float> slopes_;
  QkvViews all_;
  Pass pass_;
  std::list<std::vector<std::byte>> memory_;
  std::list<std::vector<KvRows>> pages_;
};

std::vector<Case> cases() {
  const QkvLayout separate = QkvLayout::kSeparate, concatenated = QkvLayout::kConcatenated,
                  per_head = QkvLayout::kPerHead;
  const KvFormat int8 = KvFormat::kInt8, fp8 = KvFormat::kFp8, fp16 = KvFormat::kFp16, bf16 = KvFormat::kBf16;
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
      {"one_query_over_cache", 1, 1, 300, 4, 2, 8, 0, 0, separate, Mask::kCausal, 300},
      {"one_query_over_cache_window", 1, 1, 300, 4, 2, 8, 9, 0, separate, Mask::kCausal, 300},
      {"some_queries_over_cache", 1, 140, 300, 4, 2, 8, 40, 0, separate, Mask::kCausal, 300},
      {"one_query_over_pages", 1, 1, 300, 4, 2, 8, 0, 0, separate, Mask::kCausal, 16},
      {"some_queries_over_pages", 1, 40, 300, 4, 4, 8, 0, 5.0f, per_head, Mask::kCausal, 16},
      {"some_texts_over_pages", 3, 7, 50, 4, 2, 8, 20, 0, concatenated, Mask::kCausal, 16},
      {"first_queries_into_pages", 2, 150, 150, 4, 2, 8, 0, 0, separate, Mask::kCausal, 64},
      {"alibi", 2, 150, 150, 6, 2, 8, 0, 0, separate, Mask::kCausal, 0, true},
      {"alibi_window_softcap_over_pages", 1, 40, 300, 4, 4, 8, 60, 5.0f, per_head, Mask::kCausal, 16, true},
      {"grouped_per_head", 2, 50, 50, 6, 2, 6, 7, 0, per_head},
      {"one_query_int8", 1, 1, 300, 6, 2, 24, 0, 0, separate, Mask::kCausal, 16, false, int8},
      {"one_query_int8_window_softcap_alibi", 1, 1, 300, 6, 2, 8, 150, 5.0f, separate, Mask::kCausal, 48, true, int8},
      {"few_queries_int8", 3, 4, 131, 4, 2, 8, 0, 0, concatenated, Mask::kCausal, 16, false, int8},
      {"few_queries_fp16_window", 2, 3, 200, 6, 2, 40, 66, 0, separate, Mask::kCausal, 32, false, fp16},
      {"few_queries_bf16_alibi", 1, 2, 70, 6, 3, 8, 0, 0, separate, Mask::kCausal, 70, true, bf16},
      {"one_query_int8_long", 1, 1, 1700, 4, 2, 16, 0, 0, separate, Mask::kCausal, 1700, false, int8},
      {"few_queries_int8_long_pages", 1, 3, 1500, 4, 1, 8, 0, 0, separate, Mask::kCausal, 32, false, int8},
      {"one_query_fp8_long_window", 1, 1, 2100, 6, 2, 8, 1050, 0, separate, Mask::kCausal, 32, true, fp8},
      {"few_queries_fp8", 2, 4, 131, 4, 2, 24, 0, 5.0f, separate, Mask::kCausal, 16, false, fp8},
      {"many_queries_fp8", 1, 140, 300, 4, 2, 8, 40, 0, separate, Mask::kCausal, 300, false, fp8},
      {"first_queries_int8", 2, 3, 3, 4, 2, 8, 0, 0, separate, Mask::kCausal, 16, false, int8},
      {"many_queries_int8", 1, 140, 300, 4, 2, 8, 40, 0, separate, Mask::kCausal, 300, false, int8},
      {"many_queries_fp16_softcap", 2, 40, 90, 4, 4, 8, 0, 5.0f, per_head, Mask::kCausal, 16, false, fp16},
      {"many_queries_bf16", 2, 33, 33, 4, 1, 8, 0, 0, separate, Mask::kCausal, 32, true, bf16},
      {"bidirectional", 2, 150, 150, 4, 2, 8, 0, 0, separate, Mask::kBidirectional},
      {"bidirectional_window", 2, 150, 150, 4, 4, 8, 9, 5.0f, per_head, Mask::kBidirectional},
  };
}

class AttentionTest : public ::testing::TestWithParam<Case> {};

void expect_definition(Problem& problem, const Case& c) {
  ThreadPool threads(2);
  const std::vector<double> expected = problem.reference();
  for (const Isa isa : every_isa()) {
    if (!machine_has(isa)) continue;
    AttentionScratch scratch;
    scratch.isa = isa;
    problem.out.assign(expected.size(), -77.0f);
    attention(problem.call, scratch, threads);
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(problem.out[i] - expected[i]));
    // A score is 0.4 times a sum of head_dim <= 16 products of magnitude up to 8 * 8: its error is below
    // 0.4 * 16 * 64 * 16 * 2^-24 = 4e-4 in the worst case and sqrt(16) * 2^-24 * 40 = 1e-5 typically; a probability has
    // that as its relative error, twice (numerator and sum), and values are below 10. Beside integers of 8 bits few
    // queries have 16 with AVX-512: half a step of 9 / (127 * 256) for each channel, of keys of 2, typically; and so do
    // probabilities: 2^-17 of the greatest for each key, typically.
    const bool rounds = isa >= Isa::kAvx512Vnni && isa <= Isa::kAvx512Bf16 && c.format == KvFormat::kInt8 &&
                        c.queries <= kUnpackedTokens;
    const double of_query = rounds ? 0.4 * 9 / (2 * 127 * 256) * 2 * std::sqrt(static_cast<double>(c.head_dim)) : 0;
    const double of_share = rounds ? 0x1p-17 * std::sqrt(static_cast<double>(c.keys)) : 0;
    EXPECT_LT(worst, 10 * (2 * (1e-5 + of_query) + of_share)) << name_of(isa);
  }
}

TEST_P(AttentionTest, EqualsItsDefinition) {
  Problem problem(GetParam());
  expect_definition(problem, GetParam());
}

TEST_P(AttentionTest, EqualsItsDefinitionBesideSinks) {
  Problem problem(GetParam());
  problem.add_sinks();
  expect_definition(problem, GetParam());
}

// A probability that lies at a tie may go the other way: a step of 1 / 255 of the greatest, times values below 10. Most
// outputs have none such.
TEST_P(AttentionTest, RoundsProbabilitiesOfTheKeysThatAreSeen) {
  for (const bool sinks : {false, true}) {
    Problem problem(GetParam());
    if (sinks) problem.add_sinks();
    problem.round_probabilities("int8-asym-token");
    ThreadPool threads(2);
    AttentionScratch scratch;
    scratch.isa = best_isa();
    attention(problem.call, scratch, threads);
    const std::vector<double> expected = problem.reference();
    size_t apart = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double difference = std::abs(problem.out[i] - expected[i]);
      EXPECT_LT(difference, 3 * 10.0 / 255);
      if (difference > 2e-4) ++apart;
    }
    EXPECT_LT(apart, 1 + expected.size() / 50);
  }
}

TEST_P(AttentionTest, AnyNumberOfThreadsGivesTheSameBytes) {
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    Problem problem(GetParam());
    ThreadPool threads(count);
    AttentionScratch scratch;
    scratch.isa = best_isa();
    attention(problem.call, scratch, threads);
    results.push_back(problem.out);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTest, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

// The last of several queries has the bits that it has as the only one: its sums are cut at the same keys.
TEST(Attention, AQueryDoesNotDependOnThoseBefore) {
  ThreadPool threads(2);
  for (const KvFormat format : every_kv_format()) {
    for (const auto& [keys, window] : {std::pair<int64_t, int64_t>{129, 0}, {129, 70}, {1100, 0}, {1100, 77}}) {
      std::vector<float> last;
      for (const int64_t queries : {1, 2, 4}) {
        Problem problem(
            {"", 1, queries, keys, 4, 2, 8, window, 0, QkvLayout::kSeparate, Mask::kCausal, keys, false, format});
        AttentionScratch scratch;
        scratch.isa = best_isa();
        attention(problem.call, scratch, threads);
        const std::vector<float> of_last(problem.out.end() - 4 * 8, problem.out.end());
        if (queries == 1) last = of_last;
        EXPECT_EQ(of_last, last) << queries << " queries, " << keys << " keys, window " << window;
      }
    }
  }
}

// A scratch that served a larger call before changes nothing.
TEST(Attention, UsedScratchIsHarmless) {
  const std::vector<Case> all = cases();
  ThreadPool threads(2);
  AttentionScratch used;
  used.isa = best_isa();
  for (const Case& c : all) {
    Problem fresh(c), again(c);
    AttentionScratch clean;
    clean.isa = best_isa();
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

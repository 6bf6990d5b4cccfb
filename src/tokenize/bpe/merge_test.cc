#include "tokenize/bpe/merge.h"

#include <gtest/gtest.h>

#include <random>

#include "tokenize/sentencepiece/spm_document.h"
#include "tokenize/tokenizer.h"

namespace bitloom {
namespace {

std::vector<int32_t> random_symbols(std::mt19937& random, size_t count, int alphabet) {
  std::vector<int32_t> symbols;
  for (size_t i = 0; i < count; ++i)
    symbols.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(alphabet)));
  return symbols;
}

TEST(BpeMerge, HeapAndScanningAgree) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    MergeTable table;
    const int alphabet = 3 + round % 5;
    int32_t next = alphabet;
    for (uint32_t rank = 0; rank < 40; ++rank, ++next) {
      const auto left = static_cast<int32_t>(random() % static_cast<unsigned>(next));
      const auto right = static_cast<int32_t>(random() % static_cast<unsigned>(next));
      table.set(left, right, rank / 3, next);  // three merges share a rank
    }
    MergeScratch scratch;
    std::vector<int32_t> scanned = random_symbols(random, 1 + random() % 200, alphabet);
    std::vector<int32_t> heaped = scanned;
    merge_symbols_by_scanning(table, scanned, scratch);
    merge_symbols_by_heap(table, heaped, scratch);
    ASSERT_EQ(scanned, heaped) << "round " << round;
  }
}

TEST(BpeMerge, PairSetTwiceKeepsTheLaterRank) {
  MergeTable table;
  table.set(0, 1, 0, 10);
  table.set(1, 2, 1, 11);
  table.set(0, 1, 2, 10);
  MergeScratch scratch;
  std::vector<int32_t> symbols = {0, 1, 2};
  merge_symbols(table, symbols, scratch);
  EXPECT_EQ(symbols, (std::vector<int32_t>{0, 11}));
}

// SentencePiece by its definition: the neighbours whose union scores highest, of equals the leftmost.
std::vector<std::string> merge_by_score(const SpmVocabulary& v, std::vector<std::string> pieces) {
  for (;;) {
    size_t best = pieces.size();
    double best_score = 0;
    for (size_t i = 0; i + 1 < pieces.size(); ++i) {
      const auto found = std::find(v.tokens.begin(), v.tokens.end(), pieces[i] + pieces[i + 1]);
      if (found == v.tokens.end()) continue;
      const double score = v.scores[static_cast<size_t>(found - v.tokens.begin())];
      if (best == pieces.size() || score > best_score) {
        best = i;
        best_score = score;
      }
    }
    if (best == pieces.size()) return pieces;
    pieces[best] += pieces[best + 1];
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

SpmVocabulary random_vocabulary(std::mt19937& random) {
  SpmVocabulary v;
  v.tokens = {"<unk>", "a", "b", "\u2581"};
  for (int i = 0; i < 12; ++i) {
    std::string token;
    for (size_t n = 2 + random() % 3; n > 0; --n) token += random() % 2 ? "a" : "b";
    if (std::find(v.tokens.begin(), v.tokens.end(), token) == v.tokens.end()) v.tokens.push_back(token);
  }
  v.types.assign(v.tokens.size(), PieceType::kNormal);
  v.types[0] = PieceType::kUnknown;
  for (size_t i = 0; i < v.tokens.size(); ++i) v.scores.push_back(-static_cast<double>(random() % 4));  // many ties
  v.add_space_prefix = false;
  v.origin = "test";
  return v;
}

TEST(BpeMerge, SpmDocumentMergesAsSentencePieceDoesAlsoWhereScoresTie) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const SpmVocabulary v = random_vocabulary(random);
    const Tokenizer tokenizer = Tokenizer::from_json(spm_document(v), "test");
    for (int n = 0; n < 20; ++n) {
      std::vector<std::string> pieces;
      std::string text;
      for (size_t i = 0; i < 12; ++i) text += pieces.emplace_back(random() % 2 ? "a" : "b");
      std::vector<std::string> merged;
      for (const int32_t id : tokenizer.encode(text)) merged.push_back(tokenizer.id_to_token(id));
      ASSERT_EQ(merged, merge_by_score(v, pieces)) << text;
    }
  }
}

}  // namespace
}  // namespace bitloom

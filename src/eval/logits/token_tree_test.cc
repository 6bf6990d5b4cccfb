#include "eval/logits/token_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using Sequences = std::vector<std::vector<int32_t>>;

std::vector<int32_t> tokens_of(const Branch& branch) { return {branch.tokens.begin(), branch.tokens.end()}; }

TEST(TokenTree, SharesEveryBeginningOnce) {
  const Sequences sequences = {{1, 2, 3, 4}, {1, 2, 5}, {7}, {1, 2, 3, 6, 6}, {1, 2}};
  const TokenTree tree = token_tree(sequences, 0);
  ASSERT_EQ(tree.branches.size(), 6u);
  EXPECT_THAT(tokens_of(tree.branches[0]), ElementsAre(1, 2));
  EXPECT_THAT(tokens_of(tree.branches[1]), ElementsAre(3));
  EXPECT_THAT(tokens_of(tree.branches[2]), ElementsAre(4));
  EXPECT_THAT(tokens_of(tree.branches[3]), ElementsAre(6, 6));
  EXPECT_THAT(tokens_of(tree.branches[4]), ElementsAre(5));
  EXPECT_THAT(tokens_of(tree.branches[5]), ElementsAre(7));
  std::vector<int64_t> parents;
  for (const Branch& branch : tree.branches) parents.push_back(branch.parent);
  EXPECT_THAT(parents, ElementsAre(-1, 0, 1, 1, 0, -1));
  EXPECT_THAT(tree.rows, ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(0, 1, 6), ElementsAre(7),
                                     ElementsAre(0, 1, 2, 4, 5), ElementsAre(0, 1)));
  EXPECT_EQ(tree.total_rows, 8);
}

TEST(TokenTree, EqualSequencesAreOne) {
  const Sequences sequences = {{4, 4, 4}, {4, 4, 4}};
  const TokenTree tree = token_tree(sequences, 1);
  ASSERT_EQ(tree.branches.size(), 1u);
  EXPECT_THAT(tree.rows, ElementsAre(ElementsAre(0, 1), ElementsAre(0, 1)));
}

TEST(TokenTree, NothingLeft) {
  EXPECT_TRUE(token_tree(Sequences{{1}, {1}}, 1).branches.empty());
  EXPECT_TRUE(token_tree(Sequences{}, 0).branches.empty());
  EXPECT_TRUE(token_tree(Sequences{{}}, 0).branches.empty());
}

TEST(TokenTree, CommonPrefix) {
  EXPECT_EQ(common_prefix(Sequences{}), 0u);
  EXPECT_EQ(common_prefix(Sequences{{1, 2, 3}}), 3u);
  EXPECT_EQ(common_prefix(Sequences{{1, 2, 3}, {1, 2}, {1, 2, 4}}), 2u);
  EXPECT_EQ(common_prefix(Sequences{{1, 2}, {3}}), 0u);
}

// Whatever the sequences: walking a row's branch to the root spells the sequence up to it, and two tokens share a row
// exactly when all before them are equal.
TEST(TokenTree, RowsSpellTheirSequences) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed, 1);
    Sequences sequences(1 + rng.next_u32() % 12);
    for (auto& sequence : sequences)
      for (uint32_t left = rng.next_u32() % 7; left > 0; --left)
        sequence.push_back(static_cast<int32_t>(rng.next_u32() % 2));
    const TokenTree tree = token_tree(sequences, 0);
    std::vector<std::vector<int32_t>> path;  // of every row: its tokens from the root
    std::vector<size_t> last_row;            // of every branch
    for (const Branch& branch : tree.branches) {
      std::vector<int32_t> so_far;
      if (branch.parent >= 0) so_far = path[last_row[static_cast<size_t>(branch.parent)]];
      for (const int32_t token : branch.tokens) so_far.push_back(token), path.push_back(so_far);
      last_row.push_back(path.size() - 1);
    }
    ASSERT_EQ(static_cast<int64_t>(path.size()), tree.total_rows);
    for (size_t s = 0; s < sequences.size(); ++s) {
      ASSERT_EQ(tree.rows[s].size(), sequences[s].size());
      for (size_t i = 0; i < sequences[s].size(); ++i) {
        const std::vector<int32_t> expected(sequences[s].begin(), sequences[s].begin() + static_cast<int64_t>(i) + 1);
        EXPECT_EQ(path[static_cast<size_t>(tree.rows[s][i])], expected);
      }
    }
    std::sort(path.begin(), path.end());
    EXPECT_EQ(std::unique(path.begin(), path.end()), path.end()) << "a beginning was run twice";
  }
}

}  // namespace
}  // namespace bitloom

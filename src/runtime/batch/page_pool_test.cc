#include "runtime/batch/page_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/rng.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> text(int32_t first, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TEST(PagePool, GivesNeighboursAndTakesThemBack) {
  PagePool pool(6, 4);
  auto first = pool.lease(text(0, 3), 9);  // three pages
  ASSERT_TRUE(first);
  EXPECT_THAT(first->pages, ElementsAre(0, 1, 2));
  EXPECT_FALSE(pool.lease(text(50, 3), 16)) << "four of three";
  auto second = pool.lease(text(50, 3), 12);
  ASSERT_TRUE(second);
  EXPECT_EQ(pool.held(), 6);
  pool.release(*first);
  EXPECT_EQ(pool.held(), 3);
  EXPECT_TRUE(pool.lease(text(80, 3), 12));
}

TEST(PagePool, TextsThatBeginAlikeShareFullPages) {
  PagePool pool(10, 4);
  const std::vector<int32_t> prompt = text(0, 10);
  auto first = pool.lease(prompt, 12);
  EXPECT_EQ(first->shared_rows, 0);
  EXPECT_EQ(pool.shared_rows(prompt), 0) << "nothing is computed yet";
  pool.publish(*first, std::span(prompt).first(7));
  EXPECT_EQ(pool.shared_rows(prompt), 4);
  pool.publish(*first, prompt);
  auto second = pool.lease(prompt, 12);
  EXPECT_EQ(second->shared_rows, 8);
  EXPECT_EQ(second->pages[0], first->pages[0]);
  EXPECT_EQ(second->pages[1], first->pages[1]);
  EXPECT_NE(second->pages[2], first->pages[2]);
  EXPECT_EQ(pool.held(), 4);
  EXPECT_EQ(pool.shared_rows(text(0, 8)), 4) << "the last token is never shared";
  EXPECT_EQ(pool.shared_rows(text(1, 8)), 0);
  // The second page alone is no beginning.
  EXPECT_EQ(pool.shared_rows(text(4, 8)), 0);
}

TEST(PagePool, PagesThatNobodyHoldsStayUntilOthersNeedThem) {
  PagePool pool(4, 4);
  const std::vector<int32_t> old_text = text(0, 9), new_text = text(100, 5);
  auto lease = pool.lease(old_text, 9);
  pool.publish(*lease, old_text);
  pool.release(*lease);
  lease = pool.lease(new_text, 8);
  pool.publish(*lease, new_text);
  pool.release(*lease);
  EXPECT_EQ(pool.held(), 0);
  EXPECT_EQ(pool.shared_rows(old_text), 8) << "two other pages were free";
  EXPECT_EQ(pool.shared_rows(new_text), 4);
  lease = pool.lease(text(200, 4), 16);
  ASSERT_TRUE(lease);
  EXPECT_EQ(pool.shared_rows(old_text), 0);
  EXPECT_EQ(pool.shared_rows(new_text), 0);
}

TEST(PagePool, WhatIsHeldIsNotTaken) {
  PagePool pool(4, 4);
  const std::vector<int32_t> prompt = text(0, 9);
  auto first = pool.lease(prompt, 12);
  pool.publish(*first, prompt);
  auto second = pool.lease(prompt, 12);  // two shared pages and the last free one
  ASSERT_TRUE(second);
  EXPECT_FALSE(pool.lease(text(50, 2), 4));
  pool.release(*first);
  EXPECT_TRUE(pool.lease(text(50, 2), 4));
  EXPECT_EQ(pool.shared_rows(prompt), 8);
}

// Two that computed the same text at the same time: one of them is found later.
TEST(PagePool, TheSameTextTwice) {
  PagePool pool(8, 4);
  const std::vector<int32_t> prompt = text(0, 9);
  auto first = pool.lease(prompt, 9), second = pool.lease(prompt, 9);
  pool.publish(*first, prompt);
  pool.publish(*second, prompt);
  pool.release(*first);
  pool.release(*second);
  EXPECT_EQ(pool.shared_rows(prompt), 8);
  EXPECT_TRUE(pool.lease(text(50, 3), 32)) << "all pages can be had";
}

// Whatever happens: a page is never given to two texts, and what is found has been published.
TEST(PagePool, RandomUse) {
  PagePool pool(24, 4);
  Rng rng(1, 2);
  struct Running {
    std::vector<int32_t> tokens;
    PagePool::Lease lease;
  };
  std::vector<Running> running;
  std::map<int64_t, std::vector<int32_t>> written;  // by page
  for (int i = 0; i < 20000; ++i) {
    if (rng.next_u32() % 2 == 0 && !running.empty()) {
      const size_t at = rng.next_u32() % running.size();
      pool.publish(running[at].lease, running[at].tokens);
      pool.release(running[at].lease);
      running.erase(running.begin() + static_cast<int64_t>(at));
      continue;
    }
    std::vector<int32_t> tokens = text(static_cast<int32_t>(rng.next_u32() % 3) * 100, 1 + rng.next_u32() % 20);
    if (rng.next_u32() % 2 == 0) tokens.back() = -1;
    auto lease = pool.lease(tokens, static_cast<int64_t>(tokens.size()));
    if (!lease) continue;
    for (size_t p = 0; p < lease->pages.size(); ++p) {
      const std::vector<int32_t> own(tokens.begin() + static_cast<int64_t>(4 * p),
                                     tokens.begin() + static_cast<int64_t>(std::min(tokens.size(), 4 * p + 4)));
      std::vector<int32_t>& there = written[lease->pages[p]];
      if (static_cast<int64_t>(4 * p) < lease->shared_rows) {
        ASSERT_EQ(there, own);
      } else {
        there = own;
      }
    }
    running.push_back({tokens, *lease});
    // No page that is written by one is held by another that does not share it.
    for (const Running& other : running)
      for (size_t p = 0; p < other.lease.pages.size(); ++p) {
        const std::vector<int32_t>& there = written[other.lease.pages[p]];
        ASSERT_TRUE(std::equal(there.begin(), there.end(), other.tokens.begin() + static_cast<int64_t>(4 * p)));
      }
  }
}

}  // namespace
}  // namespace bitloom

#include "runtime/batch/stop_filter.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

/// The text in pieces of every size gives the same.
std::string filtered(const std::string& text, const std::vector<std::string>& stops, bool& found) {
  std::string first;
  for (size_t size = 1; size <= text.size(); ++size) {
    StopFilter filter(stops);
    std::string out;
    for (size_t at = 0; at < text.size(); at += size) out += filter.push(std::string_view(text).substr(at, size));
    found = filter.found();
    out += filter.finish();
    if (size == 1) first = out;
    EXPECT_EQ(out, first) << "pieces of " << size;
  }
  return first;
}

TEST(StopFilter, EndsAtTheFirstStop) {
  bool found = false;
  EXPECT_EQ(filtered("one two three", {"two"}, found), "one ");
  EXPECT_TRUE(found);
  EXPECT_EQ(filtered("one two three", {"three", "two"}, found), "one ");
  EXPECT_EQ(filtered("aabaaab", {"aaab"}, found), "aab");
  EXPECT_EQ(filtered("one two three", {"four"}, found), "one two three");
  EXPECT_FALSE(found);
  EXPECT_EQ(filtered("one tw", {"two"}, found), "one tw");
  EXPECT_FALSE(found);
  EXPECT_EQ(filtered("one", {}, found), "one");
}

TEST(StopFilter, HoldsBackOnlyWhatMayBeAStop) {
  StopFilter filter({"END", "###"});
  EXPECT_EQ(filter.push("text E"), "text ");
  EXPECT_EQ(filter.push("N"), "");
  EXPECT_EQ(filter.push("ough #"), "ENough ");
  EXPECT_EQ(filter.finish(), "#");
}

}  // namespace
}  // namespace bitloom

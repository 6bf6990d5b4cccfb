#include "cli/find_verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/test_data.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const std::vector<std::string>& words) {
  return testing::message_of(ErrorKind::kUsage, [&] { find_verb(words); });
}

TEST(FindVerb, OfOneWordOrTwo) {
  EXPECT_EQ(find_verb({"quantize", "a", "b"}).name, "quantize");
  EXPECT_EQ(find_verb({"eval", "kl", "a"}).name, "eval kl");
  EXPECT_THAT(arguments_of(find_verb({"eval", "kl"}), {"eval", "kl", "a", "--json"}), ElementsAre("a", "--json"));
  EXPECT_EQ(first_word("eval kl"), "eval");
  EXPECT_EQ(first_word("run"), "run");
}

TEST(FindVerb, ToldWhatThereIs) {
  EXPECT_EQ(refusal({"eval"}), "bitloom eval needs one of: ppl, kl, tasks, arithmetic");
  EXPECT_THAT(refusal({"eval", "pl"}), HasSubstr("(did you mean 'ppl'?)"));
  EXPECT_THAT(refusal({"kl"}), HasSubstr("unknown verb 'kl'"));
  EXPECT_THAT(refusal({"quantise"}), HasSubstr("(did you mean 'quantize'?)"));
}

TEST(Verbs, NamesAreUniqueAndExamplesBeginWithThem) {
  std::set<std::string> names;
  for (const Verb& verb : verbs()) {
    EXPECT_TRUE(names.insert(verb.name).second) << verb.name;
    for (const std::string& example : verb.examples) EXPECT_THAT(example, HasSubstr("bitloom " + verb.name));
  }
}

}  // namespace
}  // namespace bitloom

#include "recipe/parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <typeindex>

#include "base/error.h"
#include "base/test_data.h"
#include "round/adaround/adaround.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

template <typename Action>
std::string refusal(const Action& action) {
  return testing::message_of(ErrorKind::kUsage, [&] { action(); });
}

std::string set_refusal(const char* part, const char* name, const char* value) {
  Part changed = *find_part(part);
  return refusal([&] { set_option(changed, name, value); });
}

std::string bare_refusal(const char* part, const char* word) {
  Part changed = *find_part(part);
  return refusal([&] { set_bare_option(changed, word); });
}

TEST(Parts, HaveOneRowForEachAlternative) {
  std::set<std::type_index> alternatives;
  std::set<std::string> names;
  for (const PartRow& row : part_rows()) {
    EXPECT_TRUE(alternatives.insert(row.defaults.type()).second) << row.name;
    EXPECT_FALSE(row.help.empty() || row.words.empty()) << row.name;
    EXPECT_TRUE(changed_options(row.defaults).empty()) << row.name;
    EXPECT_EQ(to_short(row.defaults), row.name);
  }
  EXPECT_EQ(alternatives.size(), rounding_methods().size() + std::variant_size_v<Transform>);
  for (const std::string& name : part_names()) {
    EXPECT_TRUE(names.insert(name).second) << name;
    // The grammar: a '+' before a digit may be an exponent's, and no part's name is a format's.
    EXPECT_EQ(name.find_first_of("0123456789+:,=[]"), std::string::npos) << name;
    EXPECT_THROW(parse_target(name), Error) << name;
  }
}

// A bare word must mean one thing, and every default must be a value that one could write.
TEST(Parts, HaveOptionsThatCannotBeConfused) {
  for (const PartRow& row : part_rows()) {
    std::set<std::string_view> words;
    for (const Option& option : row.options) {
      SCOPED_TRACE(std::string(row.name) + " " + std::string(option.name));
      EXPECT_TRUE(words.insert(option.name).second);
      EXPECT_TRUE(option.alias.empty() || words.insert(option.alias).second);
      for (const std::string_view choice : option.choices) EXPECT_TRUE(words.insert(choice).second);
      EXPECT_TRUE(in_range(option, option.get(row.defaults)));
      EXPECT_FALSE(option.help.empty());
      EXPECT_EQ(option.choices.empty(), option.kind != OptionKind::kChoice);
      // Integers must fit a double exactly.
      EXPECT_LE(option.high, 9007199254740992.0);
    }
  }
}

TEST(Parts, ReadTheMemberTheyName) {
  Part gptq = *find_part("gptq");
  set_option(gptq, "damping", "0.05");
  set_option(gptq, "order", "act-order");
  set_option(gptq, "static-groups", "true");
  set_option(gptq, "correction", "0.5");
  EXPECT_EQ(gptq, Part(GptqRounding{0.05, ColumnOrder::kActivation, true, 0.5}));
  EXPECT_EQ(to_short(gptq), "gptq:damping=0.05,act-order,static-groups,correction=0.5");

  Part adaround = *find_part("adaround");
  const std::pair<const char*, const char*> values[] = {
      {"iterations", "7"}, {"regularizer", "2.5"},    {"ramp", "6"},       {"beta-start", "3"}, {"beta-end", "4"},
      {"warmup", "0.5"},   {"learning-rate", "0.25"}, {"descent", "false"}};
  for (const auto& [name, value] : values) set_option(adaround, name, value);
  EXPECT_EQ(adaround, Part(AdaRounding{7, 2.5, 6, 3, 4, 0.5, 0.25, false}));

  Part hadamard = *find_part("hadamard");
  set_option(hadamard, "heads", "false");
  EXPECT_EQ(hadamard, Part(HadamardTransform{true, false}));
  set_option(hadamard, "residual", "false");
  EXPECT_EQ(to_short(hadamard), "hadamard:residual=false,heads=false");
}

TEST(Parts, SpellChoicesAsTheEnumerationHasThem) {
  const std::pair<const char*, ColumnOrder> orders[] = {{"natural", ColumnOrder::kNatural},
                                                        {"act-order", ColumnOrder::kActivation},
                                                        {"group-aware", ColumnOrder::kGroupAware}};
  for (const auto& [word, order] : orders) {
    Part part = *find_part("gptq");
    EXPECT_EQ(set_bare_option(part, word).name, "order");
    EXPECT_EQ(part.get<GptqRounding>().order, order);
  }
}

TEST(Parts, TakeBareWords) {
  Part smooth = *find_part("smoothquant"), gptq = *find_part("gptq"), awq = *find_part("awq");
  set_bare_option(smooth, "0.75");
  EXPECT_EQ(smooth, Part(SmoothTransform{0.75}));
  EXPECT_EQ(to_short(smooth), "smoothquant:0.75");
  set_bare_option(awq, "10");
  EXPECT_EQ(to_short(awq), "awq:10");
  set_bare_option(gptq, "0.1");
  set_bare_option(gptq, "static-groups");
  EXPECT_EQ(to_short(gptq), "gptq:damping=0.1,static-groups");
  set_option(gptq, "damp", "0.2");
  EXPECT_EQ(to_short(gptq), "gptq:damping=0.2,static-groups");
}

TEST(Parts, KnowGptaq) {
  EXPECT_EQ(*find_part("gptaq"), Part(GptqRounding{.correction = 0.25}));
  EXPECT_EQ(to_short(*find_part("gptaq")), "gptq:correction=0.25");
}

TEST(Parts, ConvertBothWays) {
  for (const PartRow& row : part_rows()) {
    if (row.stage == PartStage::kRounding) {
      EXPECT_EQ(part_of(rounding_of(row.defaults)), row.defaults);
      EXPECT_THROW(transform_of(row.defaults), Error);
    } else {
      EXPECT_EQ(part_of(transform_of(row.defaults)), row.defaults);
      EXPECT_THROW(rounding_of(row.defaults), Error);
    }
  }
}

TEST(Parts, RefuseUnknownNames) {
  EXPECT_THAT(refusal([] { rounding_named("gtpq"); }),
              StartsWith("unknown rounding 'gtpq' (did you mean 'gptq'?); allowed: nearest, gptq, "));
  EXPECT_EQ(refusal([] { transform_named("hadmard"); }),
            "unknown transform 'hadmard' (did you mean 'hadamard'?); allowed: hadamard, equalize, smoothquant, "
            "preshift, awq, reassemble, bias-correction, tune-blocks, distill");
  EXPECT_THAT(refusal([] { rounding_named("awq"); }),
              StartsWith("'awq' is a transform, not a rounding; allowed: nearest, gptq, "));
  EXPECT_THAT(refusal([] { transform_named("gptaq"); }),
              HasSubstr("'gptaq' is a rounding, not a transform; allowed: "));
}

TEST(Parts, RefuseUnknownOptions) {
  EXPECT_EQ(set_refusal("gptq", "dampign", "1"),
            "unknown option 'dampign' of 'gptq' (did you mean 'damping'?); allowed: damping (or damp), order, "
            "static-groups, correction, guided");
  EXPECT_EQ(bare_refusal("gptq", "act-oder"),
            "unknown option 'act-oder' of 'gptq' (did you mean 'act-order'?); allowed: damping (or damp), order, "
            "static-groups, correction, guided");
  EXPECT_EQ(set_refusal("equalize", "alpha", "1"), "'equalize' takes no options, found 'alpha'");
  EXPECT_EQ(bare_refusal("equalize", "0.5"), "'equalize' takes no options, found '0.5'");
  EXPECT_EQ(bare_refusal("hadamard", "0.5"),
            "'hadamard' takes no bare number, found '0.5'; its first option is residual (true or false)");
  EXPECT_EQ(bare_refusal("gptq", "damp"), "damp of 'gptq' needs a value, a number from 0 to 0.99: damp=...");
}

TEST(Parts, RefuseValuesWithWhatIsAllowed) {
  EXPECT_EQ(set_refusal("gptq", "damp", "2"), "damping of 'gptq' must be a number from 0 to 0.99, found '2'");
  for (const char* bad : {"", "-0.1", "nan", "inf", "0.1x", "1e400", " 0.1", "true"}) {
    EXPECT_THAT(set_refusal("gptq", "damping", bad), HasSubstr("must be a number from 0 to 0.99")) << bad;
  }
  EXPECT_EQ(set_refusal("adaround", "iterations", "-1"),
            "iterations of 'adaround' must be an integer from 0 to 1000000, found '-1'");
  EXPECT_THAT(set_refusal("adaround", "iterations", "10.5"), HasSubstr("an integer from 0 to 1000000, found '10.5'"));
  EXPECT_THAT(set_refusal("adaround", "iterations", "99999999999999999999"), HasSubstr("an integer"));
  EXPECT_EQ(set_refusal("hadamard", "heads", "yes"), "heads of 'hadamard' must be true or false, found 'yes'");
  EXPECT_EQ(set_refusal("gptq", "order", "random"),
            "order of 'gptq' must be one of natural, act-order, group-aware, found 'random'");
  EXPECT_EQ(bare_refusal("smoothquant", "1.5"), "alpha of 'smoothquant' must be a number from 0 to 1, found '1.5'");
}

// Both tails of a column keep as much, so half of it is all there is.
TEST(Parts, RefuseToReserveMoreThanThereIs) {
  EXPECT_EQ(set_refusal("claq", "reserved", "1.2"), "reserved of 'claq' must be a number from 0 to 0.24, found '1.2'");
  EXPECT_EQ(set_refusal("claq", "reserved-most", "0.6"),
            "reserved-most of 'claq' must be a number from 0 to 0.24, found '0.6'");
  EXPECT_EQ(set_refusal("kmeans", "outliers", "1.5"),
            "outliers of 'kmeans' must be a number from 0 to 0.5, found '1.5'");
  EXPECT_EQ(set_refusal("spqr", "most", "2"), "most of 'spqr' must be a number from 0.0001 to 0.5, found '2'");
}

TEST(Parts, AcceptTheEndsOfEachRange) {
  for (const PartRow& row : part_rows()) {
    for (const Option& option : row.options) {
      for (const double end : {option.low, option.high}) {
        Part part = row.defaults;
        set_option(part, option.name, value_text(option, end));
        EXPECT_EQ(option.get(part), end) << row.name << " " << option.name;
      }
      EXPECT_FALSE(in_range(option, std::numeric_limits<double>::quiet_NaN()));
    }
  }
}

TEST(Parts, PrintNumbersShortAndExactly) {
  const Option& damping = row_of(*find_part("gptq")).options[0];
  ASSERT_EQ(damping.name, "damping");
  EXPECT_EQ(value_text(damping, 0.1), "0.1");
  EXPECT_EQ(value_text(damping, 1e-05), "1e-05");
  EXPECT_EQ(value_text(damping, 1.0 / 3), "0.3333333333333333");
  Part part = *find_part("gptq");
  set_option(part, "damping", "-0");
  EXPECT_EQ(to_short(part), "gptq:damping=0");
}

}  // namespace
}  // namespace bitloom

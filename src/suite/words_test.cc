#include "suite/words.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "suite/cell_words.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Words, BlanksSeparateAndQuotesKeep) {
  EXPECT_THAT(split_words("  eval kl\n  -c 512 "), ElementsAre("eval", "kl", "-c", "512"));
  EXPECT_THAT(split_words(R"(run m -p "Once upon" -f 'a "b" c' --x=" y"z)"),
              ElementsAre("run", "m", "-p", "Once upon", "-f", "a \"b\" c", "--x= yz"));
  EXPECT_THAT(split_words(R"(-p "")"), ElementsAre("-p", ""));
  EXPECT_THAT(split_words(""), ElementsAre());
  EXPECT_THROW(split_words("run -p \"Once"), Error);
}

TEST(Words, FillReplacesNamesAlone) {
  const auto value = [](const std::string& name) {
    return name == "text" ? std::optional<std::string>("a {b} c") : std::nullopt;
  };
  EXPECT_EQ(fill("{text}/{text}", value, {}), "a {b} c/a {b} c") << "what is filled in is not filled again";
  EXPECT_EQ(fill("{\"a\": 1} {} { text}", value, {}), "{\"a\": 1} {} { text}");
  EXPECT_EQ(fill("{text", value, {}), "{text");
  try {
    fill("-f {txet}", value, {"text", "out"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("unknown placeholder '{txet}' (did you mean 'text'?)"));
  }
}

TEST(Words, Placeholders) { EXPECT_THAT(placeholders("{a} {b.c}-{a}{d e}"), ElementsAre("a", "b.c", "a")); }

TEST(CellWords, OutputsOfCells) {
  const std::vector<std::string> words = {"eval", cell_word(12), "--ref=" + cell_word(3), "{out}", "{cell:x}"};
  EXPECT_THAT(with_outputs(words, "OUT", [](size_t cell) { return "<" + std::to_string(cell) + ">"; }),
              ElementsAre("eval", "<12>", "--ref=<3>", "OUT", "{cell:x}"));
  EXPECT_THAT(with_cells(words, [](size_t) { return "{cell:9}"; }),
              ElementsAre("eval", "{cell:9}", "--ref={cell:9}", "{out}", "{cell:x}"));
}

}  // namespace
}  // namespace bitloom

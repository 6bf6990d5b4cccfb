#include "calibration/samples.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "base/test_data.h"
#include "calibration/coverage.h"
#include "calibration/python_random.h"
#include "io/test_support.h"
#include "tokenize/test_documents.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using ::testing::SizeIs;
using testing::TempDir;
using Tokens = std::vector<int32_t>;
using Sequences = std::vector<Tokens>;

constexpr int64_t kDemoVocabulary = 4096;
constexpr const char* kStories = "assets/demo/calibration.txt";

const Tokenizer& demo() {
  static const Tokenizer tokenizer = Tokenizer::load("assets/demo");
  return tokenizer;
}

/// The demo's without an EOS.
const Tokenizer& without_eos() {
  static const Tokenizer tokenizer = Tokenizer::from_json(testing::synthetic("bytes-then-split"), "t");
  return tokenizer;
}

CalibrationOptions options(const std::string& rule, const std::string& file, const std::string& format, int64_t samples,
                           int64_t length, uint64_t seed = 0) {
  return {file, parse_calibration_format(format), parse_sampling_rule(rule), samples, length, seed};
}

/// Samples of a file with this content.
CalibrationSet sample(const std::string& content, const std::string& rule, const std::string& format, int64_t samples,
                      int64_t length, uint64_t seed = 0, const Tokenizer& tokenizer = demo()) {
  const TempDir dir;
  testing::write_file(dir.file("t"), content);
  try {
    return sample_calibration(&tokenizer, kDemoVocabulary, options(rule, dir.file("t"), format, samples, length, seed));
  } catch (const Error& error) {  // the path is a random one
    throw Error(error.kind(), std::string(error.what()).substr(dir.path().size() + 1));
  }
}

std::string refusal(const std::string& content, const std::string& rule, const std::string& format, int64_t samples,
                    int64_t length) {
  return message_of(ErrorKind::kRefused, [&] { sample(content, rule, format, samples, length); });
}

/// A line of the ids first .. first + count - 1.
std::string ids_line(int first, int count) {
  std::string line;
  for (int id = first; id < first + count; ++id) line += fmt::format("{} ", id);
  return line + "\n";
}

Tokens counting(int first, int count) {
  Tokens ids;
  for (int id = first; id < first + count; ++id) ids.push_back(id);
  return ids;
}

TEST(SampleCalibration, MakesTheSelectionsOfAnIndependentImplementation) {
  const Json cases = read_json(testing::golden("calibration/samples.json"));
  ASSERT_GE(cases.size(), 10u);
  for (const Json& wanted : cases) {
    SCOPED_TRACE(wanted.dump());
    const CalibrationSet set = sample_calibration(
        &demo(), kDemoVocabulary,
        options(wanted["rule"], wanted["file"], wanted["format"], wanted["samples"], wanted["length"], wanted["seed"]));
    EXPECT_EQ(set.tokens(), wanted["tokens"].get<int64_t>());
    Tokens first = set.sequences.front(), last = set.sequences.back();
    first.resize(8);
    last.resize(8);
    EXPECT_EQ(first, wanted["first"].get<Tokens>());
    EXPECT_EQ(last, wanted["last"].get<Tokens>());
    EXPECT_EQ(set.ids_sha256(), wanted["ids_sha256"].get<std::string>());
  }
}

TEST(SampleCalibration, TakesTheBuiltInTextWhenThereIsNoFile) {
  const CalibrationSet set = sample_calibration(&demo(), kDemoVocabulary, options("gptq", "", "plain", 128, 2048));
  EXPECT_THAT(set.sequences, AllOf(SizeIs(128), Each(SizeIs(2048))));
  EXPECT_EQ(set.tokens(), 128 * 2048);
  EXPECT_EQ(set.source, "built-in mixed text");
  EXPECT_EQ(set.sha256, "8397093fa2554efe693960887a66ea7e7499373b45b6876b463c9e627376959f");
  EXPECT_THAT(set.description,
              AllOf(HasSubstr("built-in mixed text (plain, sha256 8397093fa255), gptq: 128 x 2048 tokens, seed 0"),
                    HasSubstr(" documents")));
  EXPECT_GT(vocabulary_share(set.sequences, kDemoVocabulary), 0.8);  // a small vocabulary made from English
  const CalibrationSet file = sample_calibration(
      &demo(), kDemoVocabulary, options("gptq", "assets/calibration/mixed.txt.xz", "plain", 128, 2048));
  EXPECT_EQ(file.source, "mixed.txt.xz");
  EXPECT_EQ(file.sha256, set.sha256);
  EXPECT_EQ(file.sequences, set.sequences);
}

TEST(SampleCalibration, SaysAllThatDecidesTheData) {
  const CalibrationSet set = sample_calibration(&demo(), kDemoVocabulary, options("rows", kStories, "plain", 4, 16, 5));
  const Json json = to_json(set);
  const auto text = [&](const char* key) { return json[key].get<std::string>(); };
  EXPECT_EQ(text("source"), "calibration.txt");
  EXPECT_EQ(text("sha256"), sha256_file(kStories));
  EXPECT_EQ(text("format"), "plain");
  EXPECT_EQ(text("rule"), "rows");
  EXPECT_EQ(json["samples"], 4);
  EXPECT_EQ(json["length"], 16);
  EXPECT_EQ(json["seed"], 5);
  EXPECT_EQ(json["tokens"], set.tokens());
  EXPECT_EQ(text("ids_sha256"), set.ids_sha256());
  EXPECT_EQ(text("tokenizer_sha256"), demo().hash());
  EXPECT_EQ(text("description"), set.description);
  EXPECT_EQ(json.size(), 11u);
}

TEST(SampleCalibration, DependsOnTheSeedAlone) {
  const auto hash = [](uint64_t seed, const char* rule) {
    return sample_calibration(&demo(), kDemoVocabulary, options(rule, kStories, "plain", 16, 64, seed)).ids_sha256();
  };
  for (const char* rule : {"gptq", "packed", "rows"}) {
    EXPECT_EQ(hash(3, rule), hash(3, rule));
    EXPECT_NE(hash(3, rule), hash(4, rule));
  }
}

// gptq: the bounds of the published draws.

TEST(GptqRule, PassesOverDocumentsOfExactlyOneWindow) {
  // T = L fails in the scripts; T = L + 1 leaves one start, 0.
  const CalibrationSet set = sample(ids_line(0, 8) + ids_line(100, 9) + ids_line(200, 8), "gptq", "tokens", 3, 8);
  EXPECT_THAT(set.sequences, Each(counting(100, 8)));
  EXPECT_THAT(set.description, HasSubstr("random windows of 1 of 3 documents"));
}

TEST(GptqRule, NeverDrawsTheLastWindowAndDrawsEveryOther) {
  const Sequences sequences = sample(ids_line(0, 1000), "gptq", "tokens", 200, 4).sequences;
  for (const Tokens& window : sequences) EXPECT_EQ(window, counting(window[0], 4));
  // 40 tokens, 10 samples of 4: starts 0 .. 35.
  std::set<int32_t> starts;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    for (const Tokens& window : sample(ids_line(0, 40), "gptq", "tokens", 10, 4, seed).sequences)
      starts.insert(window[0]);
  }
  // 600 draws miss one of 36 starts with a chance of 36 (35/36)^600 < 2e-6.
  EXPECT_EQ(starts.size(), 36u);
  EXPECT_EQ(*starts.rbegin(), 35);
}

TEST(GptqRule, JoinsDocumentsWhenNoneIsLongEnough) {
  const std::string lines = ids_line(10, 4) + ids_line(20, 3) + "\n" + ids_line(30, 5);
  const CalibrationSet set = sample(lines, "gptq", "tokens", 2, 6);
  Tokens stream = {10, 11, 12, 13, 1, 20, 21, 22, 1, 30, 31, 32, 33, 34};  // 1: EOS
  PythonRandom random(0);
  for (const Tokens& window : set.sequences) {
    const int64_t start = random.randint(0, 14 - 6 - 1);
    EXPECT_EQ(window, Tokens(stream.begin() + start, stream.begin() + start + 6));
  }
  EXPECT_THAT(set.description, HasSubstr("none longer than a window: random windows of 3 documents joined by EOS"));
}

TEST(GptqRule, TokenizesOnlyWhatItNeeds) {
  // The second document cannot be tokenized for this vocabulary: reading it would be an error.
  const TempDir dir;
  const std::string first = "a a a a a a a a a a a a", second = "someone else";
  testing::write_file(dir.file("t"), Json{{"t", first}}.dump() + "\n" + Json{{"t", second}}.dump() + "\n");
  const auto greatest = [](const std::string& text) {
    const Tokens ids = demo().encode(text);
    return *std::max_element(ids.begin(), ids.end());
  };
  const int64_t vocabulary = greatest(first) + 1;
  ASSERT_GE(greatest(second), vocabulary);
  uint64_t only_first = 0;  // a seed whose first draw of two documents is the first
  while (PythonRandom(only_first).randint(0, 1) != 0) ++only_first;
  uint64_t also_second = 0;
  while (PythonRandom(also_second).randint(0, 1) != 1) ++also_second;
  const auto run = [&](uint64_t seed) {
    return sample_calibration(&demo(), vocabulary, options("gptq", dir.file("t"), "jsonl:t", 1, 4, seed));
  };
  EXPECT_EQ(run(only_first).sequences.size(), 1u);
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { run(also_second); }),
              AllOf(HasSubstr("the tokenizer gives id "), HasSubstr("but the model knows only 0 to ")));
}

// packed

TEST(PackedRule, CutsJoinedDocumentsInShuffledOrder) {
  const CalibrationSet set = sample(ids_line(10, 4) + ids_line(20, 4), "packed", "tokens", 3, 3);
  std::vector<int> order = {10, 20};
  PythonRandom(0).shuffle(order);
  const int a = order[0], b = order[1];
  EXPECT_THAT(set.sequences, ElementsAre(Tokens{a, a + 1, a + 2}, Tokens{a + 3, 1, b}, Tokens{b + 1, b + 2, b + 3}));
}

TEST(PackedRule, PutsOneEosBetweenDocumentsThatEndWithIt) {
  const CalibrationSet set = sample("10 11 1\n20 21 1\n", "packed", "tokens", 1, 6);
  EXPECT_THAT(set.sequences[0], ::testing::AnyOf(ElementsAre(10, 11, 1, 20, 21, 1), ElementsAre(20, 21, 1, 10, 11, 1)));
}

TEST(PackedRule, ShufflesTheWindowsOfOneDocument) {
  const Sequences sequences = sample(ids_line(0, 1003), "packed", "tokens", 100, 10).sequences;
  std::set<int32_t> starts;
  for (const Tokens& window : sequences) {
    EXPECT_EQ(window, counting(window[0], 10));
    EXPECT_EQ(window[0] % 10, 0);
    starts.insert(window[0]);
  }
  EXPECT_EQ(starts.size(), 100u);
}

TEST(PackedRule, TakesAllWindowsOnRequest) {
  const CalibrationSet one = sample(ids_line(0, 1003), "packed", "tokens", kAllWindows, 10);
  EXPECT_EQ(one.sequences, sample(ids_line(0, 1003), "packed", "tokens", 100, 10).sequences);
  EXPECT_EQ(one.options.samples, 100);
  EXPECT_THAT(one.description, HasSubstr("packed: 100 x 10 tokens"));
  const std::string two = ids_line(10, 4) + ids_line(20, 5);
  EXPECT_EQ(sample(two, "packed", "tokens", kAllWindows, 3).sequences, sample(two, "packed", "tokens", 3, 3).sequences);
  EXPECT_EQ(refusal(ids_line(0, 9), "packed", "tokens", kAllWindows, 10),
            "t: too little text: it has 9 tokens, a window takes 10 (give a longer text or a smaller length)");
}

TEST(PackedRule, JoinsByBlankLinesWithoutEos) {
  ASSERT_FALSE(without_eos().eos_id().has_value());
  const Tokens gap = without_eos().encode("\n\n", false);
  ASSERT_FALSE(gap.empty());
  const auto length = static_cast<int64_t>(gap.size()) + 2;
  const CalibrationSet set = sample("7\n7\n", "packed", "tokens", 1, length, 0, without_eos());
  Tokens expected = {7};
  expected.insert(expected.end(), gap.begin(), gap.end());
  expected.push_back(7);
  EXPECT_THAT(set.sequences, ElementsAre(expected));
  EXPECT_THAT(set.description, HasSubstr("joined by \"\\n\\n\""));
}

// rows

TEST(RowsRule, TruncatesAndPassesOverTheShortest) {
  const CalibrationSet set = sample("1\n" + ids_line(10, 2) + ids_line(20, 9) + "[]\n", "rows", "tokens", 2, 5);
  EXPECT_THAT(set.sequences, ::testing::UnorderedElementsAre(Tokens{10, 11}, counting(20, 5)));
  EXPECT_EQ(set.tokens(), 7);
  EXPECT_THAT(set.description, HasSubstr("rows: 2 x at most 5 tokens (7 in all), seed 0, whole documents"));
}

// Refusals

TEST(SampleCalibration, SaysHowManyTokensAreMissing) {
  const std::string tail = " tokens are missing (give a longer text, fewer samples or a smaller length)";
  EXPECT_EQ(refusal(ids_line(0, 100), "gptq", "tokens", 128, 2048),
            "t: too little text: it has 100 tokens, 128 samples of 2048 by rule gptq need 262144: 262044" + tail);
  EXPECT_EQ(refusal(ids_line(0, 20) + ids_line(0, 19), "gptq", "tokens", 4, 10),
            "t: too little text: it has 39 tokens, 4 samples of 10 by rule gptq need 40: 1" + tail);
  EXPECT_EQ(refusal(ids_line(0, 10), "gptq", "tokens", 1, 10),
            "t: too little text: it has 10 tokens, 1 samples of 10 by rule gptq need 11: 1" + tail);
  EXPECT_EQ(refusal(ids_line(0, 20) + ids_line(0, 18), "packed", "tokens", 4, 10),
            "t: too little text: it has 39 tokens, 4 samples of 10 by rule packed need 40: 1" + tail);
  EXPECT_THAT(refusal(ids_line(0, 20) + "5\n", "rows", "tokens", 4, 10),
              HasSubstr("t: too little text: it has 1 documents of at least 2 tokens (10 tokens in all, at most 10 of "
                        "each), 4 samples by rule rows need one each: 3 documents are missing"));
}

TEST(SampleCalibration, RefusesBrokenFilesWithTheirPlace) {
  EXPECT_EQ(refusal("ok\nbad \xC0\xAF\n", "gptq", "plain", 1, 2), "t: line 2: invalid UTF-8 (byte 0xc0 at offset 7)");
  EXPECT_EQ(refusal("{\"t\": \"a\"}\n[1]\n", "gptq", "jsonl:t", 1, 2), "t: line 2: array, expected a JSON object");
  EXPECT_EQ(refusal("{\"t\": \"a\"}\n{\"u\": \"a\"}\n", "rows", "jsonl:t", 1, 2), "t: line 2: no field \"t\"");
  EXPECT_EQ(refusal("1 2\n3 4096\n", "rows", "tokens", 1, 2),
            "t: line 2: id 4096 is outside the vocabulary (0 to 4095)");
  EXPECT_EQ(refusal("", "gptq", "plain", 1, 2), "t: no text in it (read as plain)");
  const CalibrationOptions absent = options("gptq", "no/such.txt", "plain", 1, 2);
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { sample_calibration(&demo(), kDemoVocabulary, absent); }),
              HasSubstr("no/such.txt: cannot open"));
}

TEST(SampleCalibration, RefusesAsksThatMakeNoSense) {
  const auto misuse_of = [](const CalibrationOptions& asked) {
    return message_of(ErrorKind::kUsage, [&] { sample_calibration(&demo(), kDemoVocabulary, asked); });
  };
  EXPECT_EQ(misuse_of(options("gptq", "", "plain", 0, 2048)), "0 calibration samples: must be 1 to 2147483648");
  EXPECT_EQ(misuse_of(options("gptq", "", "plain", 1, 1)), "calibration samples of 1 tokens: must be 2 to 2147483648");
  EXPECT_EQ(misuse_of(options("gptq", "", "tokens", 1, 2)),
            "calibration format tokens is for a file; the built-in text is plain");
}

}  // namespace
}  // namespace bitloom

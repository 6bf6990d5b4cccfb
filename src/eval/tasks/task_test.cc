#include "eval/tasks/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/test_data.h"
#include "io/json.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kChoices =
    "version: 1\ndescription: d\nsource: s\ndata: d.jsonl\nkind: choices\n"
    "context: \"{q}\"\nchoices: \"{c}\"\ngold: \"{g}\"\n";
constexpr const char* kGenerate =
    "version: 1\ndescription: d\nsource: s\ndata: d.jsonl\nkind: generate\n"
    "context: \"{q}\"\ntarget: \"{a}\"\nextract: [{pattern: '[0-9]+'}]\n";

TEST(TaskFile, UsualValues) {
  const Task task = parse_task(kChoices, "folder/mine.yaml");
  EXPECT_EQ(task.name, "mine");
  EXPECT_EQ(task.file, "folder/mine.yaml");
  EXPECT_EQ(task.sha256, sha256_hex(kChoices));
  EXPECT_EQ(task.kind, TaskKind::kChoices);
  EXPECT_EQ(task.delimiter, " ");
  EXPECT_THAT(task.metrics, ElementsAre("acc", "acc_norm", "acc_bytes"));
  EXPECT_EQ(task.shots, 0);
  EXPECT_EQ(task.separator, "\n\n");
  EXPECT_EQ(task.preamble, "");
}

TEST(TaskFile, EverythingOfGeneration) {
  const Task task = parse_task(std::string(kGenerate) +
                                   "shot: \"{work} so {a}\"\nmax_tokens: 9\nstops: [\"Q:\", \"\\n\"]\n"
                                   "ignore: [',']\ndelimiter: \"\"\nshots: {count: 2, separator: \"|\", preamble: P}\n",
                               "t.yaml");
  EXPECT_EQ(task.kind, TaskKind::kGenerate);
  EXPECT_EQ(task.max_tokens, 9);
  EXPECT_THAT(task.stops, ElementsAre("Q:", "\n"));
  EXPECT_THAT(task.ignore, ElementsAre(","));
  EXPECT_EQ(task.extract.at(0).pattern, "[0-9]+");
  EXPECT_FALSE(task.extract.at(0).last);
  EXPECT_EQ(task.delimiter, "");
  EXPECT_EQ(task.shots, 2);
  EXPECT_EQ(task.separator, "|");
  EXPECT_EQ(task.preamble, "P");
}

struct Broken {
  const char* name;
  std::string yaml, message;
};

std::string with(const std::string& text, const std::string& more) { return text + more + "\n"; }

std::string without(const std::string& text, const std::string& key) {
  const size_t begin = text.find("\n" + key + ":") + 1;
  return text.substr(0, begin) + text.substr(text.find('\n', begin) + 1);
}

class BrokenTask : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenTask, IsAnsweredWithItsPlace) {
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { parse_task(GetParam().yaml, "t.yaml"); }),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenTask,
    ::testing::Values(
        Broken{"Key", with(kChoices, "delimeter: x"),
               "t.yaml:9:1: unknown key 'delimeter' in a task of kind choices (did you mean 'delimiter'?)"},
        Broken{"KeyOfAnotherKind", with(kChoices, "stops: [x]"), "t.yaml:9:1: unknown key 'stops'"},
        Broken{"NoGold", without(kChoices, "gold"), "t.yaml:1:1: the key 'gold' is missing"},
        Broken{"NoKind", without(kChoices, "kind"),
               "the key 'kind' is missing; allowed: choices, contexts, target, generate"},
        Broken{"Kind", with(without(kChoices, "kind"), "kind: choice"), "t.yaml:8:7: unknown kind 'choice'"},
        Broken{"NewVersion", with(kChoices, "").replace(9, 1, "2"), "t.yaml:1:10: task version '2' is not supported"},
        Broken{"Metric", with(kChoices, "metrics: [acc, acc_nrom]"),
               "t.yaml:9:10: 'acc_nrom' is no metric of kind choices (did you mean 'acc_norm'?)"},
        Broken{"Template", with(without(kChoices, "context"), "context: \"{q\""), "t.yaml:8:10: 'context': '{'"},
        Broken{"ListOfAText", with(without(kChoices, "choices"), "choices: \"{c} or\""),
               "t.yaml:8:10: 'choices' must be a list of texts or one {field} that is a list"},
        Broken{"Shots", with(kChoices, "shots: {count: -1}"),
               "t.yaml:9:16: 'count' of 'shots' is '-1', must be an integer from 0 on"},
        Broken{"ShotKey", with(kChoices, "shots: {cuont: 1}"), "(did you mean 'count'?)"},
        Broken{"Pattern", with(without(kGenerate, "extract"), "extract: [{pattern: '('}]"),
               "t.yaml:8:21: 'pattern': regex"},
        Broken{"NoPattern", with(without(kGenerate, "extract"), "extract: [{name: x}]"),
               "the key 'pattern' is missing"},
        Broken{"NoExtract", with(without(kGenerate, "extract"), "extract: []"), "at least one way"},
        Broken{"Take", with(without(kGenerate, "extract"), "extract: [{pattern: x, take: all}]"),
               "'take' is 'all'; allowed: first, last"},
        Broken{"MaxTokens", with(kGenerate, "max_tokens: 0"), "'max_tokens' is '0', must be an integer from 1 on"},
        Broken{"List", "[1]", "a task must be a map"}, Broken{"NoYaml", "a: [", "not valid YAML"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(TaskLibrary, HoldsThePublishedTasks) {
  std::vector<std::string> names;
  for (const TaskEntry& entry : list_tasks()) {
    EXPECT_FALSE(entry.description.empty());
    names.push_back(entry.name);
  }
  EXPECT_THAT(names, ElementsAre("arc_easy", "boolq", "gsm8k", "hellaswag", "lambada", "piqa", "simple_arithmetic",
                                 "sst2", "story_endings", "winogrande"));
}

TEST(TaskLibrary, ByNameAndByPath) {
  EXPECT_EQ(load_task("piqa").sha256, load_task("tasks/piqa.yaml").sha256);
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [] { load_task("helaswag"); }).substr(0, 57),
            "unknown task 'helaswag' (did you mean 'hellaswag'?); task");
  EXPECT_EQ(testing::message_of(ErrorKind::kUsage, [] { load_task("none.yaml"); }), "none.yaml: no such task file");
}

}  // namespace
}  // namespace bitloom

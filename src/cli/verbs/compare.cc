#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "cli/flags/common_flags.h"
#include "cli/flags/text_flags.h"
#include "cli/pages/compare_page.h"
#include "cli/pages/page_file.h"
#include "cli/verb.h"
#include "io/directory/output_file.h"
#include "judge/comparison.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualContext = 512;

struct Flags {
  ComparePlan plan;
  std::string page;
  std::optional<std::string> json;
};

std::string text_of(const ComparePlan& plan, const Comparison& comparison, bool bold) {
  std::string text = "\n" + compare_table(comparison, plan.per_byte).to_text(bold);
  text += plan.per_byte ? fmt::format("{}, {}: each model with its own tokenizer over the whole text\n",
                                      comparison.text.file, comparison.text.windows.description)
                        : fmt::format("{}: {} tokens of {}\n", comparison.text.windows.description,
                                      comparison.text.windows.scored_tokens, comparison.text.file);
  if (const Table skills = skill_table(comparison); skills.rows() > 0) text += "\n" + skills.to_text(bold);
  for (const std::string& note : compare_notes(plan, comparison)) text += note + "\n";
  return text;
}

void write_record(const std::string& path, const Json& record) {
  OutputFile file(path);
  file.write_at(0, json_text(record));
  file.finish();
}

// "--json MODEL" is a mistake that would overwrite a model.
void check_record_file(const std::string& path) {
  if (!path.ends_with(".json"))
    misuse("compare: --json {}: the name of a file of figures must end in .json; models stand before --json", path);
}

/// A path that does not exist may be a misspelt model: the error that names it comes later.
bool may_be_model(const std::string& path) {
  namespace fs = std::filesystem;
  if (!fs::exists(path)) return true;
  if (fs::is_directory(path)) return fs::exists(fs::path(path) / "config.json");
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::string_view(magic, sizeof magic) == "GGUF";
}

/// "compare DIR/*" names whatever lies there: what is no model is left out, unless nothing else is named.
void skip_what_is_no_model(std::vector<std::string>& paths, Session& session) {
  std::vector<std::string> models, others;
  for (const std::string& path : paths) (may_be_model(path) ? models : others).push_back(path);
  if (models.empty() || others.empty()) return;
  session.progress().log(fmt::format("skipped, since they are no models: {}", fmt::join(others, ", ")));
  paths = std::move(models);
}

void compare(Flags& flags, Session& session) {
  skip_what_is_no_model(flags.plan.models, session);
  if (flags.json) flags.json->empty() ? void(session.json = true) : check_record_file(*flags.json);
  if (!flags.page.empty()) check_page_file(flags.page);
  const Comparison comparison = compare_models(flags.plan, session.context(), session.warner());
  const Json record = to_json(flags.plan, comparison);
  if (flags.json && !flags.json->empty()) write_record(*flags.json, record);
  if (!flags.page.empty()) write_page(flags.page, compare_page(flags.plan, comparison, record));
  session.show(record, text_of(flags.plan, comparison, session.bold()) +
                           (flags.page.empty() ? "" : fmt::format("page: {}\n", flags.page)));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  app.add_option("MODEL", flags->plan.models, "models to judge: directories or GGUF files")->type_name("MODEL...");
  app.add_option("--ref", flags->plan.reference, "the original: a model, or a file made by eval kl --save-ref")
      ->type_name("MODEL|FILE");
  add_text_flags(app, flags->plan.text, kUsualContext);
  app.add_flag("--per-byte", flags->plan.per_byte, "models of different tokenizers: bits per byte of the whole text");
  app.add_option("--speed", flags->plan.speed_tokens, "tokens generated to measure tokens/s; 0: not measured")
      ->type_name("N")
      ->check(integer_from(0))
      ->capture_default_str();
  app.add_option("--tasks", flags->plan.skills.tasks, "tasks as of eval tasks, with paired tests against the original")
      ->type_name("A,B")
      ->delimiter(',');
  app.add_option("--data", flags->plan.skills.data, "folder of the tasks' data files")->type_name("DIR");
  app.add_option("--arithmetic", flags->plan.skills.digits, "additions of numbers of so many digits: 2, 1-3")
      ->type_name("LOW-HIGH");
  app.add_option("--limit", flags->plan.skills.limit, "only the first N records of each task, and N additions")
      ->type_name("N")
      ->check(integer_from(1));
  app.add_option("--html", flags->page, "write a page with plots and coloured passages")->type_name("FILE");
  add_threads_flag(app, session);
  app.add_option("--json", flags->json, "print one JSON object instead of text, or write it to FILE.json")
      ->type_name("[FILE]")
      ->value_optional();
  return [flags, &session] { compare(*flags, session); };
}

}  // namespace

Verb compare_verb() {
  return {"compare",
          "many models against the original on the same tokens: a table and a page",
          "MODEL... --ref MODEL|FILE --text FILE [flags]",
          {"bitloom compare /tmp/demo-int4 /tmp/demo-int2 --ref assets/demo --text assets/demo/evaluation.txt",
           "bitloom compare a.gguf b --ref original --text wiki.test.raw --windows 20 --html report.html"},
          setup};
}

}  // namespace bitloom

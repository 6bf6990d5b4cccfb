#include <fmt/format.h>

#include <filesystem>

#include "base/clock.h"
#include "base/error.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "cli/verb_lines.h"
#include "io/directory/file_lock.h"
#include "io/directory/output_file.h"
#include "io/hash.h"
#include "report/table.h"
#include "suite/cell_words.h"
#include "suite/run_suite.h"
#include "suite/tables/marked_text.h"
#include "suite/tables/plots.h"
#include "suite/tables/tables.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string file, directory, only, plots;
  std::vector<std::string> settings, documents;
  bool keep = false, any_build = false, dry_run = false;
};

/// Everything that stands between a file and what came out of it.
struct Run {
  Suite suite;
  std::string directory;
  Plan plan;
};

Run prepare(const Flags& flags, Session& session) {
  Run run;
  run.suite = parse_suite(read_text(flags.file), flags.file, flags.settings);
  run.directory = flags.directory.empty() ? "build/suites/" + run.suite.name : flags.directory;
  run.plan = make_plan(run.suite, check_verb_line);
  std::error_code error;
  fs::create_directories(run.directory, error);
  if (error) fail(ErrorKind::kFailed, "{}: {}", run.directory, error.message());
  InputHashes hashes(run.directory + "/hashes.json");
  session.progress().begin("reading inputs", 0);
  set_keys(run.plan, hashes, session.progress());
  session.progress().end();
  hashes.save();
  return run;
}

/// What would be run.
void show_plan(const Flags& flags, const Run& run, const CellStore& store, Session& session) {
  const std::vector<bool> selected = selected_cells(run.plan, flags.only);
  Table table({{"cell", Align::kLeft}, {"", Align::kLeft}, {"command", Align::kLeft}});
  Json cells = Json::array();
  for (size_t i = 0; i < run.plan.cells.size(); ++i) {
    if (!selected[i]) continue;
    const Cell& cell = run.plan.cells[i];
    const bool finished = store.find(cell).has_value();
    const std::vector<std::string> words =
        with_cells(cell.words, [&](size_t other) { return "{" + run.plan.cells[other].label + "}"; });
    table.add({cell.label, finished ? "finished" : "to run", fmt::format("{}", fmt::join(words, " "))});
    cells.push_back(
        {{"label", cell.label}, {"key", cell.key}, {"finished", finished}, {"words", words}, {"inputs", cell.inputs}});
  }
  session.show({{"suite", run.suite.name}, {"out", run.directory}, {"cells", std::move(cells)}},
               table.to_text(session.bold()));
}

std::string tables_text(const Suite& suite, const std::vector<RenderedTable>& tables) {
  std::string text = suite.title.empty() ? "" : "## " + suite.title + "\n\n";
  for (const RenderedTable& table : tables) {
    if (!table.name.empty()) text += "### " + table.name + "\n\n";
    text += table.markdown + "\n";
  }
  return text;
}

void fill_documents(const Flags& flags, const std::vector<RenderedTable>& tables) {
  for (const std::string& path : flags.documents) {
    const std::string before = read_text(path);
    const std::string after = fill_marked_parts(before, path, flags.file, tables);
    if (after != before) replace_file(path, after);
  }
}

/// One SVG each, beside the tables and where --plots says.
void write_plots(const Flags& flags, const Run& run, const SuiteOutcome& outcome) {
  constexpr int kWidth = 860;
  for (const RenderedPlot& plot : render_plots(outcome)) {
    const std::string svg = svg_file(plot.plot, kWidth);
    replace_file(run.directory + "/" + plot.name + ".svg", svg);
    if (!flags.plots.empty()) replace_file(flags.plots + "/" + plot.name + ".svg", svg);
  }
}

/// Error(kFailed) when a cell failed.
void tell_failures(const Run& run, const std::vector<CellOutcome>& cells) {
  size_t failures = 0;
  std::string first;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].failure.empty()) continue;
    if (++failures == 1) first = fmt::format("{}: {}", run.plan.cells[i].label, cells[i].failure);
  }
  if (failures > 0)
    fail(ErrorKind::kFailed, "{} of {} cells failed, the first: {}; the others are kept in {}", failures, cells.size(),
         first, run.directory);
}

void run_suite(const Flags& flags, Session& session) {
  const Run run = prepare(flags, session);
  const CellStore store(run.directory, sha256_file("/proc/self/exe"), flags.any_build);
  if (flags.dry_run) return show_plan(flags, run, store, session);
  const FileLock lock(run.directory + "/lock");
  if (!lock.held()) fail(ErrorKind::kFailed, "{}: another run of a suite is working there", run.directory);

  SuiteRunOptions options;
  options.only = flags.only;
  options.keep = flags.keep;
  options.clock = steady_seconds;
  options.command = [&](const std::vector<std::string>& words) { return run_verb_line(words, session.threads); };
  const auto check = [&](const Cell& cell, const Json& record) { check_columns(run.suite, cell, record); };
  const std::vector<CellOutcome> cells = run_cells(run.plan, store, options, check, session.progress());

  const SuiteOutcome outcome = {run.suite, run.plan, cells};
  const std::vector<RenderedTable> tables = render_tables(outcome);
  const Json results = results_json(outcome);
  const std::string text = tables_text(run.suite, tables);
  replace_file(run.directory + "/table.md", text);
  replace_file(run.directory + "/results.json", json_text(results));
  replace_file(run.directory + "/times.json", json_text(times_json(outcome)));
  write_plots(flags, run, outcome);
  tell_failures(run, cells);
  if (!flags.keep) store.remove_all_outputs();
  for (const Cell& cell : run.plan.cells)
    if (flags.keep && store.has_output(cell)) session.progress().log(cell.label + ": " + store.output(cell));
  fill_documents(flags, tables);
  session.show(results, text);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  app.add_option("FILE", flags->file, "the suite, as those in suites/")->type_name("FILE")->required();
  app.add_option("-o,--out", flags->directory,
                 "where finished cells, table.md, results.json and plots are kept (default build/suites/NAME)")
      ->type_name("DIR");
  app.add_option("--only", flags->only, "only these models, recipes, evaluations or MODEL/RECIPE/EVALUATION (glob)")
      ->type_name("PATTERN");
  app.add_option("--set", flags->settings, "another value for one of the suite's files or variables")
      ->type_name("NAME=VALUE")
      ->one_each();
  app.add_option("--markdown", flags->documents,
                 "also fill in the tables that FILE marks with <!-- suites/NAME.yaml -->")
      ->type_name("FILE")
      ->one_each();
  app.add_option("--plots", flags->plots, "also write the suite's plots to DIR, as NAME.svg")->type_name("DIR");
  app.add_flag("--keep", flags->keep, "keep what commands made, the quantized models above all, and say where");
  app.add_flag("--any-build", flags->any_build, "also take what another build of bitloom has finished");
  app.add_flag("--dry-run", flags->dry_run, "check everything, list what would be run");
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { run_suite(*flags, session); };
}

}  // namespace

Verb suite_verb() {
  return {"suite",
          "models x recipes x evaluations: tables, resumable, nothing run twice",
          "FILE [flags]",
          {"bitloom suite suites/demo.yaml --dry-run",
           "bitloom suite suites/demo.yaml --only int4-g32 --set windows=4 --out /tmp/demo-suite"},
          setup};
}

}  // namespace bitloom

#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/chat_template.h"
#include "cli/flags/common_flags.h"
#include "cli/pages/arithmetic_page.h"
#include "cli/pages/arithmetic_tables.h"
#include "cli/pages/page_file.h"
#include "cli/terminal/wrapped.h"
#include "cli/verb.h"
#include "eval/arithmetic/json.h"
#include "eval/arithmetic/problem/problem_file.h"
#include "model/checkpoint/checkpoint.h"
#include "report/numbers.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

using namespace arithmetic;

constexpr size_t kColumns = 99;  // of a note above a table

struct Flags {
  std::string model, reference, against, items, html, prompt;
  std::string set = "g1", digits = "7-9";
  std::vector<std::string> formats = {"nosep", "comma_r2l", "comma_l2r"}, shots = {"8"}, operations = {"+"};
  int64_t limit = 0;
  uint64_t seed = 0;
};

/// A model that answers, with what it needs, in the order in which it must be destroyed.
struct Pupil {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<LogitsSource> logits;
  std::unique_ptr<Prompter> prompter;
};

/// The model's own template where it has one, unless lines are asked for. The date that some templates write is fixed,
/// so that prompts do not change from day to day.
ChatRenderer chat_renderer(const Checkpoint& model, const std::string& prompt) {
  if (!prompt.empty() && prompt != "chat" && prompt != "lines")
    misuse("--prompt {}: chat or lines; without the flag chat where the model has a template", prompt);
  if (prompt == "lines" || (prompt.empty() && !model.has_chat_template())) return {};
  ChatTemplate chat = model.chat_template();
  chat.set_time(evaluation_day());
  return [chat](const std::vector<ChatMessage>& messages) { return chat.render(chat.with_system_folded(messages)); };
}

Pupil make_pupil(const std::string& path, const std::string& prompt, Session& session) {
  Pupil pupil;
  pupil.checkpoint = Checkpoint::open(path, session.warner());
  pupil.decoder = std::make_unique<Decoder>(pupil.checkpoint, session.context().threads);
  pupil.logits = logits_of_steps(*pupil.decoder);
  pupil.prompter = std::make_unique<Prompter>(pupil.checkpoint->tokenizer(), chat_renderer(*pupil.checkpoint, prompt));
  return pupil;
}

GeneratorOptions generator_options(const Flags& flags, int max_shots) {
  GeneratorOptions options;
  options.full = flags.set == "g2";
  std::tie(options.low, options.high) = parse_lengths(flags.digits, "--digits");
  options.count = flags.limit;
  options.max_shots = max_shots;
  options.seed = flags.seed;
  return options;
}

ProblemSet problems_of(const Flags& flags, int max_shots) {
  if (flags.set == "g1" || flags.set == "g2") return generate_problems(generator_options(flags, max_shots));
  if (!flags.set.ends_with(".csv")) misuse("--set {}: g1, g2 or a FILE.csv", flags.set);
  return read_problem_file(flags.set, flags.limit);
}

StudyOptions study_options(const Flags& flags) {
  StudyOptions options;
  for (const std::string& format : flags.formats) options.conditions.push_back(parse_condition(format));
  options.shots.clear();
  for (const std::string& text : flags.shots) {
    const auto shots = parse_number<int>(text);
    if (!shots || *shots < 0 || *shots > 64) misuse("--shots {}: numbers from 0 to 64", text);
    options.shots.push_back(*shots);
  }
  options.operations.clear();
  for (const std::string& operation : flags.operations) options.operations.push_back(parse_operation(operation));
  options.seed = flags.seed;
  return options;
}

Study study_of(const Pupil& pupil, const ProblemSet& set, StudyOptions options, Session& session) {
  options.end_ids = end_ids(pupil.checkpoint->graph(), pupil.checkpoint->tokenizer());
  return run_study(*pupil.logits, *pupil.prompter, set, options, session.context());
}

std::string prompts_of(const Prompter& prompter) {
  return prompter.is_chat() ? "chat messages, as in the paper" : "lines \"A+B=C\", which the paper does not have";
}

struct Result {
  const Flags& flags;
  const Pupil& pupil;
  const ProblemSet& set;
  const Study& study;
  std::vector<CellSummary> cells;
  std::vector<PairedCell> paired;
};

Json record_of(const Result& result) {
  Json record = {{"model", result.flags.model},
                 {"set", result.set.description},
                 {"seed", result.flags.seed},
                 {"prompts", result.pupil.prompter->is_chat() ? "chat" : "lines"},
                 {"tokenizer", result.pupil.checkpoint->tokenizer().describe()},
                 {"tokenizer_sha256", result.pupil.checkpoint->tokenizer().hash()},
                 {"probe", to_json(result.study.probe)},
                 {"refused", Json::array()},
                 {"cells", Json::array()},
                 {"seconds", result.study.seconds}};
  for (const RefusedCondition& refused : result.study.refused) record["refused"].push_back(to_json(refused));
  for (const CellSummary& cell : result.cells) record["cells"].push_back(to_json(cell));
  if (result.paired.empty()) return record;
  record["ref"] = result.flags.reference.empty() ? result.flags.against : result.flags.reference;
  record["paired"] = Json::array();
  for (const PairedCell& cell : result.paired) record["paired"].push_back(to_json(cell));
  return record;
}

Facts facts_of(const Result& result) {
  Facts facts = {{"model", result.flags.model},
                 {"problems", result.set.description},
                 {"prompts", prompts_of(*result.pupil.prompter)},
                 {"tokenizer", result.pupil.checkpoint->tokenizer().describe()},
                 {"time", format_duration(result.study.seconds)}};
  if (!result.paired.empty())
    facts.push_back({"reference", result.flags.reference.empty() ? result.flags.against : result.flags.reference});
  return facts;
}

std::string text_of(const Result& result, bool bold) {
  std::string text = facts_text(facts_of(result));
  const ArithmeticTables tables = arithmetic_tables(result.study, result.cells, result.paired);
  for (const TitledTable* table : tables.in_order())
    text += fmt::format("\n{}\n{}\n\n{}", table->title, wrapped(table->note, kColumns, 0), table->table.to_text(bold));
  return text;
}

/// The reference's answers: kept ones, or those of a second model, which is run here.
std::vector<Outcome> reference_outcomes(const Flags& flags, const ProblemSet& set, const StudyOptions& options,
                                        Session& session) {
  if (!flags.against.empty()) return read_outcomes(flags.against);
  if (flags.reference.empty()) return {};
  const Pupil pupil = make_pupil(flags.reference, flags.prompt, session);
  return outcomes_of(study_of(pupil, set, options, session).rows);
}

void evaluate(const Flags& flags, Session& session) {
  if (!flags.html.empty()) check_page_file(flags.html);
  const StudyOptions options = study_options(flags);
  const ProblemSet set = problems_of(flags, *std::max_element(options.shots.begin(), options.shots.end()));
  const Pupil pupil = make_pupil(flags.model, flags.prompt, session);
  const std::vector<Outcome> reference = reference_outcomes(flags, set, options, session);
  std::optional<OutputFile> items;
  if (!flags.items.empty()) items.emplace(flags.items);
  const Study study = study_of(pupil, set, options, session);
  if (items) write_items(*items, study.rows);
  Result result{flags, pupil, set, study, summarise(study.rows), {}};
  if (!flags.against.empty() || !flags.reference.empty())
    result.paired =
        pair_outcomes(reference, outcomes_of(study.rows), flags.reference.empty() ? flags.against : flags.reference);
  const Json record = record_of(result);
  if (!flags.html.empty())
    write_page(flags.html, arithmetic_page(facts_of(result), study, result.cells, result.paired, record));
  session.show(record, text_of(result, session.bold()));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("--set", flags->set, "g1, g2 or FILE.csv with columns num1, num2, shots")
      ->type_name("SET")
      ->capture_default_str();
  app.add_option("--digits", flags->digits, "lengths of the numbers of g1 and g2")
      ->type_name("LOW-HIGH")
      ->capture_default_str();
  app.add_option("--formats", flags->formats, "how numbers are written (default nosep,comma_r2l,comma_l2r)")
      ->type_name("F,Q>A,Q>R>A")
      ->delimiter(',');
  app.add_option("--shots", flags->shots, "solved problems before the question (default 8)")
      ->type_name("N,...")
      ->delimiter(',');
  app.add_option("--ops", flags->operations, "operations; - and * are not in the paper (default +)")
      ->type_name("+,-,*")
      ->delimiter(',');
  app.add_option("--prompt", flags->prompt, "chat messages or lines A+B=C (default: as the model is)")
      ->type_name("chat|lines");
  app.add_option("--limit", flags->limit, "problems (default: g1 10 of each pair, g2 100 of each signature)")
      ->type_name("N")
      ->check(integer_from(1));
  app.add_option("--seed", flags->seed, "of the problems")
      ->type_name("N")
      ->check(integer_from(0))
      ->capture_default_str();
  app.add_option("--items", flags->items, "keep every answer with its metrics")->type_name("FILE.jsonl");
  auto* against = app.add_option("--against", flags->against, "compare with kept answers to the same problems")
                      ->type_name("ITEMS.jsonl");
  app.add_option("--ref", flags->reference, "compare with a second model, usually the original")
      ->type_name("MODEL")
      ->excludes(against);
  app.add_option("--html", flags->html, "write a page with the figures as plots")->type_name("FILE");
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { evaluate(*flags, session); };
}

}  // namespace

Verb eval_arithmetic_verb() {
  return {"eval arithmetic",
          "how well a model adds, and what its tokens and its bits do to that",
          "MODEL [--set g1|g2|FILE.csv] [flags]",
          {"bitloom eval arithmetic model.gguf --digits 1-3 --formats nosep,comma_r2l --items original.jsonl",
           "bitloom eval arithmetic model-int4 --digits 1-3 --formats nosep,comma_r2l --against original.jsonl"},
          setup};
}

}  // namespace bitloom

#include "tune/adapter/tune_adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/text/text.h"
#include "calibration/samples.h"
#include "cli/flags/adapter_flag.h"
#include "cli/flags/common_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "export/peft/adapt.h"
#include "io/directory/output_directory.h"
#include "pipeline/cost/cost_model.h"
#include "report/numbers.h"
#include "report/table.h"
#include "tune/adapter/begin_adapter.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualWindow = 512;

struct Flags {
  std::string model, out, adapter, text, format = "plain", memory;
  NewAdapter begin{.rank = 0};
  AdapterTuning tuning;
  int64_t window = 0;  // 0: the usual, or the model's context where that is less
  bool dry_run = false;
};

/// The one to go on with, or a new one.
PeftAdapter adapter_of(const Flags& flags, const Checkpoint& model, ThreadPool& threads) {
  const bool begins = flags.begin.rank > 0;
  if (begins != flags.adapter.empty()) {
    misuse("bitloom tune needs one of: --adapter DIR, an adapter to go on with; --rank N, to begin one");
  }
  if (!begins) {
    if (flags.begin.alpha > 0 || !flags.begin.targets.empty() || flags.begin.dora) {
      misuse("--alpha, --targets and --dora are of a new adapter (--rank N); '{}' has its own", flags.adapter);
    }
    return read_peft_adapter(flags.adapter);
  }
  NewAdapter begin = flags.begin;
  begin.seed = flags.tuning.seed;
  return begin_adapter(model, begin, threads);
}

CalibrationSet windows_of(const Flags& flags, const Checkpoint& model, Session& session) {
  const int64_t positions = model.graph().max_positions;
  CalibrationOptions options;
  options.file = flags.text;
  options.format = parse_calibration_format(flags.format);
  options.rule = SamplingRule::kPacked;
  options.samples = kAllWindows;
  options.seed = flags.tuning.seed;
  options.length = flags.window > 0 ? flags.window : positions > 0 ? std::min(kUsualWindow, positions) : kUsualWindow;
  if (positions > 0 && options.length > positions) {
    session.warner()(fmt::format("windows of {} tokens (--seq) are longer than the context of {} that {} was made for",
                                 options.length, positions, model.path()));
  }
  const Tokenizer* tokenizer = options.format.tokens && !model.has_tokenizer() ? nullptr : &model.tokenizer();
  return sample_calibration(tokenizer, model.graph().vocab_size, options);
}

Json record_of(const Flags& flags, const AdapterTask& task) {
  Json record = {{"model", flags.model}, {"out", flags.out}, {"text", task.text}};
  if (!flags.adapter.empty()) record["adapter"] = flags.adapter;
  return record;
}

void dry_run(const Flags& flags, const AdapterTask& task, Session& session) {
  check_adapter_task(task);
  const AdapterCost cost = cost_of(task);
  const double seconds = cost.flops / measure_rates(session.context().threads).forward;
  Json record = record_of(flags, task);
  record["memory"] = cost.memory, record["seconds"] = seconds;
  record["steps"] = cost.steps, record["learned"] = cost.learned;
  const bool fits = flags.tuning.memory == 0 || cost.memory <= flags.tuning.memory;
  session.show(record, facts_text({{"learned", format_count(cost.learned) + " numbers"},
                                   {"steps", format_count(cost.steps)},
                                   {"memory", human_bytes(cost.memory)},
                                   {"time", "about " + format_duration(seconds)}}));
  if (!fits) fail(ErrorKind::kFailed, "the run would not fit into --mem {}", human_bytes(flags.tuning.memory));
}

std::string summary(const Flags& flags, const AdapterTuned& tuned) {
  std::string ended;
  if (tuned.steps < tuned.steps_planned) ended = fmt::format(", ended after {} of them", tuned.steps);
  return fmt::format(
      "loss on {} held-out windows: {:.6f} -> {:.6f} nats per token, by step {} of {}{}\n"
      "{}: {} modules, {} numbers, in {}\n",
      tuned.held_out, tuned.loss_before, tuned.loss_after, tuned.best_step, tuned.steps_planned, ended, flags.out,
      tuned.modules, format_count(tuned.learned), format_duration(tuned.seconds));
}

void tune(Flags flags, Session& session) {
  if (!flags.memory.empty()) flags.tuning.memory = parse_bytes(flags.memory, "--mem");
  if (!flags.dry_run) check_output(flags.out, flags.tuning.force);
  std::vector<std::string> inputs = {flags.model, flags.text};
  if (!flags.adapter.empty()) inputs.push_back(flags.adapter);
  check_spares(flags.out, inputs);
  AdapterTask task;
  task.model = Checkpoint::open(flags.model, session.warner());
  refuse_rewritten(flags.model);
  task.options = flags.tuning;
  task.adapter = adapter_of(flags, *task.model, session.context().threads);
  modules_by_tensor(*task.model, task.adapter, session.warner());
  const CalibrationSet windows = windows_of(flags, *task.model, session);
  session.progress().log(fmt::format("text: {}", windows.description));
  task.sequences = windows.sequences;
  task.text = to_json(windows);
  if (flags.dry_run) return dry_run(flags, task, session);
  const InterruptGuard guard;
  const AdapterTuned tuned = tune_adapter(task, flags.out, session.context());
  Json record = record_of(flags, task);
  record.update(to_json(tuned));
  session.show(record, summary(flags, tuned));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  AdapterTuning& tuning = flags->tuning;
  app.add_option("-o,--output", flags->out, "directory of the adapter; appears only when complete")
      ->type_name("OUT")
      ->required();
  app.add_option("--adapter", flags->adapter, "the PEFT LoRA adapter to go on with")->type_name("DIR");
  app.add_option("--rank", flags->begin.rank, "begin a new one of this rank, its product 0")
      ->type_name("N")
      ->check(integer_from(1));
  app.add_option("--alpha", flags->begin.alpha, "of a new one: its product counts alpha / rank (default: rank)")
      ->type_name("A")
      ->check([](const std::string& text) {
        const auto alpha = parse_number<double>(text);
        return alpha && *alpha > 0 && *alpha <= 1e6 ? "" : fmt::format("'{}' is no number above 0, 1e6 at most", text);
      });
  app.add_option("--targets", flags->begin.targets, "modules of a new one, as q_proj,v_proj (default: all but routers)")
      ->type_name("NAMES")
      ->delimiter(',');
  app.add_flag("--dora", flags->begin.dora, "give a new one magnitudes of rows (DoRA)");
  app.add_option("-f,--text", flags->text, "text to learn")->type_name("FILE")->required();
  app.add_option("--text-format", flags->format, "plain, hf-rows, jsonl:FIELD or tokens")
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--seq", flags->window, "tokens of a window (default: 512, or the model's context if less)")
      ->type_name("N")
      ->check(integer_from(2));
  app.add_option("--validation", tuning.validation, "share of the windows that is held out to measure on")
      ->type_name("SHARE")
      ->capture_default_str();
  app.add_option("--batch", tuning.batch, "windows of a step")
      ->type_name("N")
      ->check(integer_from(1))
      ->capture_default_str();
  app.add_option("--epochs", tuning.epochs, "passes over the text")
      ->type_name("N")
      ->check(integer_in(1, kMostEpochs))
      ->capture_default_str();
  app.add_option("--steps", tuning.steps, "steps at most")->type_name("N")->check(integer_from(1));
  app.add_option("--lr", tuning.rate, "AdamW's rate; it falls by half a cosine")
      ->type_name("RATE")
      ->capture_default_str();
  app.add_option("--warmup", tuning.warm_up, "share of the steps on which the rate rises")
      ->type_name("SHARE")
      ->capture_default_str();
  app.add_option("--decay", tuning.decay, "AdamW's weight decay")->type_name("W")->capture_default_str();
  app.add_option("--seed", tuning.seed, "of every random choice")->type_name("N")->capture_default_str();
  app.add_option("--mem", flags->memory, "memory to stay within, as 16G")->type_name("SIZE");
  app.add_flag("--force", tuning.force, "replace OUT when it exists");
  app.add_flag("--restart", tuning.restart, "discard where an interrupted run stood instead of going on");
  app.add_flag("--dry-run", flags->dry_run, "say what it would take; exit code 1 when it does not fit");
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { tune(*flags, session); };
}

}  // namespace

Verb tune_verb() {
  return {"tune",
          "train a LoRA adapter on a frozen model",
          "MODEL --text FILE -o OUT --rank N | --adapter DIR [flags]",
          {"bitloom tune assets/demo --text assets/demo/calibration.txt -o /tmp/demo-lora --rank 4 --steps 20",
           "bitloom tune /tmp/demo-hf --adapter /tmp/demo-hf/adapter --text text.txt -o /tmp/demo-tuned"},
          setup};
}

}  // namespace bitloom

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/install_paths.h"
#include "base/text/text.h"
#include "cli/commands.h"
#include "cli/flags/common_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "judge/demo_rows.h"
#include "judge/model_figures.h"
#include "recipe/recipe.h"
#include "report/numbers.h"
#include "report/table.h"
#include "runtime/generate.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string model = "demo", text, directory;
  int64_t windows = 0;
  std::vector<std::string> schemes = {"int8-row", "int4-g32", "mxfp4",    "nvfp4",
                                      "nf4-g64",  "e2m1-g32", "int3-g32", "int2-g32"};
};

// Models that the demo knows by name.
struct Preset {
  std::string name, path, hint;
  int64_t context, windows, speed_tokens;
};

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list = {
      {"demo", "assets/demo", "run it in a checkout of bitloom", 256, 60, 100},
      {"smollm2", "build/models/SmolLM2-135M-Instruct.Q4_1.gguf", "tools/get_smollm2.sh fetches it", 512, 4, 16},
  };
  return list;
}

constexpr const char* kText = "assets/demo/evaluation.txt";
constexpr const char* kStoryteller = "int4-g32";  // the 4-bit model that writes the paragraph, if it is among the rows

// Files that come with bitloom lie in the current directory, beside the build that runs, or where it is installed.
std::string find_asset(const std::string& path, const std::string& hint) {
  if (fs::exists(path)) return path;
  const fs::path place = path;
  for (const std::string& directory : data_directories(place.parent_path().string())) {
    if (fs::exists(directory / place.filename())) return (directory / place.filename()).string();
  }
  misuse("{}: not found; {}", path, hint);
}

DemoPlan plan_of(const Flags& flags) {
  DemoPlan plan;
  plan.prompt = "Once upon a time";
  plan.schemes = flags.schemes;
  for (const std::string& scheme : plan.schemes) load_recipe(scheme);  // a misspelling is told before the work begins
  Preset preset = {base_name(flags.model), flags.model, "", 512, 8, 16};
  for (const Preset& known : presets())
    if (known.name == flags.model) preset = known;
  plan.model = preset.hint.empty() ? preset.path : find_asset(preset.path, preset.hint);
  plan.text = flags.text.empty() ? find_asset(kText, "give a text with --text FILE") : flags.text;
  plan.directory = flags.directory.empty() ? "build/demo/" + preset.name : flags.directory;
  plan.context = preset.context;
  plan.windows = flags.windows > 0 ? flags.windows : preset.windows;
  plan.speed_tokens = preset.speed_tokens;
  return plan;
}

std::string table_of(const DemoResult& result, bool bold) {
  Table table({{"format", Align::kLeft},
               {"bits nominal"},
               {"bits true"},
               {"model bits"},
               {"MiB"},
               {"perplexity"},
               {"KL to original"},
               {"same top-1"},
               {"tokens/s"}});
  for (const DemoRow& row : result.rows) {
    const bool original = &row == &result.rows.front();
    table.add({row.scheme, format_bits(row.bits_nominal), format_bits(row.bits_true), format_bits(row.bits_model),
               format_mib(row.bytes), format_perplexity(row.perplexity),
               original ? "-" : format_interval(row.kl_mean, row.kl_low, row.kl_high),
               original ? "-" : format_percent(row.top1), format_rate(row.tokens_per_second)});
  }
  return table.to_text(bold);
}

std::string notes(const DemoPlan& plan, const DemoResult& result, const Checkpoint& original) {
  std::string text = fmt::format(
      "{}: {} tokens of {}\n"
      "Bits nominal and true are per weight of the blocks' matrices; model bits and MiB are of the weight files.\n"
      "KL in nats per token with its 95 % interval; tokens/s of one stream.\n",
      result.protocol, result.tokens, plan.text);
  const std::vector<Site> sites = linear_sites(original.graph());
  if (!sites.empty() && original.matrix(*sites.front().linear)->storage() == "Q4_1")
    text +=
        "The original is itself quantized: its weights lie on 16 levels d*q + m per 32 weights, so a 4-bit\n"
        "group format with a free minimum is nearly lossless on them. Its file packs the embedding, too,\n"
        "which the others unpack.\n";
  return text;
}

// Streams a paragraph to standard output (with --json: only returns it).
std::string tell_story(const DemoPlan& plan, const std::string& scheme, Session& session) {
  const auto model = Checkpoint::open(demo_output(plan, scheme));
  Decoder decoder(model, session.context().threads);
  GenerateOptions options;
  options.max_tokens = 120;
  options.sampler.temperature = 0.7f;
  options.sampler.seed = 1;
  if (!session.json) write_output(fmt::format("\n{} continues:\n\n{}", scheme, plan.prompt));
  const GenerateResult result =
      generate(decoder, model->tokenizer(), plan.prompt, options, [&](const std::string& text) {
        if (!session.json) write_output(text);
      });
  return plan.prompt + result.text;
}

Json record_of(const DemoPlan& plan, const DemoResult& result, const std::string& scheme, const std::string& story) {
  Json rows = Json::array();
  for (const DemoRow& row : result.rows) rows.push_back(to_json(row));
  return {{"model", plan.model},
          {"text", plan.text},
          {"text_sha256", result.text_sha256},
          {"protocol", "gptq"},
          {"protocol_description", result.protocol},
          {"tokens", result.tokens},
          {"rows", rows},
          {"story", {{"scheme", scheme}, {"text", story}}}};
}

void demo(const Flags& flags, Session& session) {
  const DemoPlan plan = plan_of(flags);
  const InterruptGuard guard;
  const DemoResult result = run_demo(plan, session.context());
  if (!session.json)
    write_output("\n" + table_of(result, session.bold()) + notes(plan, result, *Checkpoint::open(plan.model)));
  const bool has_storyteller = std::count(plan.schemes.begin(), plan.schemes.end(), kStoryteller) > 0;
  const std::string scheme = has_storyteller ? kStoryteller : plan.schemes.front();
  const std::string story = tell_story(plan, scheme, session);
  session.show(record_of(plan, result, scheme, story),
               as_started(fmt::format("\n\nThe models lie in {}; try: bitloom run {} -p \"...\"\n", plan.directory,
                                      demo_output(plan, scheme))));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  app.add_option("MODEL,-m,--model", flags->model, "demo (3 M, comes with bitloom), smollm2 (135 M) or any MODEL")
      ->type_name("MODEL")
      ->capture_default_str();
  app.add_option("--text", flags->text, fmt::format("text to score (default {})", kText))->type_name("FILE");
  app.add_option("-o,--dir", flags->directory, "where the models go, and are found again (default build/demo/NAME)")
      ->type_name("DIR");
  app.add_option("--schemes", flags->schemes, "what to quantize to (default: eight, from int8-row to int2-g32)")
      ->type_name("A,B,...")
      ->delimiter(',');
  app.add_option("--windows", flags->windows, "windows of the text to score (default: enough to tell formats apart)")
      ->type_name("N")
      ->check(integer_from(1));
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { demo(*flags, session); };
}

}  // namespace

Verb demo_verb() {
  return {"demo",
          "quantize a model to many formats, show what each costs, and let one tell a story",
          "[MODEL] [flags]",
          {"bitloom demo", "bitloom demo smollm2 --schemes int4-g32,nf4-g64,int2-g32"},
          setup};
}

}  // namespace bitloom

#include "judge/demo_rows.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/error.h"
#include "eval/divergence.h"
#include "eval/logits/replayed_logits.h"
#include "eval/perplexity.h"
#include "io/hash.h"
#include "io/text_data.h"
#include "judge/model_figures.h"
#include "pipeline/quantize_model.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;

// Results of an earlier run; empty when there are none or they cannot be read: then they are made again.
Json read_cache(const std::string& path) {
  try {
    Json cache = fs::exists(path) ? read_json(path) : Json::object();
    return cache.is_object() ? cache : Json::object();
  } catch (const Error&) {
    return Json::object();
  }
}

std::string text_at(const Json& cache, const char* key) {
  const auto place = cache.find(key);
  return place != cache.end() && place->is_string() ? place->get<std::string>() : "";
}

// Everything that a result depends on, as one word.
std::string key_of(const Json& inputs) { return sha256_hex(inputs.dump()); }

void write_cache(const std::string& path, const Json& value) {
  std::ofstream file(path, std::ios::binary);
  file << dump_json(value);
  file.close();
  if (!file) fail(ErrorKind::kFailed, "{}: cannot be written", path);
}

DemoRow row_from_json(const Json& value) {
  DemoRow row;
  row.scheme = value.at("scheme");
  row.bits_nominal = value.at("bits_nominal");
  row.bits_true = value.at("bits_true");
  row.bytes = value.at("bytes");
  row.bits_model = value.at("bits_model");
  row.perplexity = value.at("ppl");
  row.kl_mean = value.at("kl_mean");
  row.kl_low = value.at("kl_ci95").at(0);
  row.kl_high = value.at("kl_ci95").at(1);
  row.top1 = value.at("top1");
  row.tokens_per_second = value.at("tokens_per_second");
  return row;
}

// Everything that the rows share. The original is opened at once and run only when a row needs it.
class Demo {
 public:
  Demo(const DemoPlan& plan, Context& context)
      : plan_(plan),
        context_(context),
        original_(Checkpoint::open(plan.model)),
        original_decoder_(original_, context.threads),
        reference_(original_decoder_) {
    const std::string text = read_text_data(plan.text, TextFormat());
    text_sha256_ = sha256_hex(text);
    WindowOptions options;
    options.context = plan.context;
    options.max_windows = plan.windows;
    windows_ = cut_windows(text, original_->tokenizer(), options);
    Json source = {{"program", sha256_file("/proc/self/exe")},  // another build may round otherwise
                   {"config", original_->config()},
                   {"tokenizer", original_->tokenizer().hash()}};
    for (const std::string& file : original_->weight_files()) source["weights"].push_back(sha256_file(file));
    source_key_ = key_of(source);
  }

  DemoRow original_row() {
    const std::string key = evaluation_key(source_key_);
    const std::string cache_path = plan_.directory + "/original.json";
    const Json cache = read_cache(cache_path);
    if (text_at(cache, "evaluation_key") == key) return row_from_json(cache.at("row"));
    const PerplexityResult result = perplexity(reference_, windows_, context_);
    DemoRow row;
    row.scheme = "original";
    row.perplexity = result.perplexity;
    const ModelSize size = size_of(*original_);
    row.bits_nominal = size.bits_nominal;
    row.bits_true = size.bits_true;
    row.bytes = size.bytes;
    row.bits_model = size.bits_model;
    row.tokens_per_second = measure_speed(original_decoder_, *original_);
    write_cache(cache_path, {{"evaluation_key", key}, {"row", to_json(row)}});
    return row;
  }

  DemoRow row(const std::string& scheme) {
    const std::string out = demo_output(plan_, scheme), cache_path = out + ".json";
    const Recipe recipe = load_recipe(scheme);
    const std::string quantization_key = key_of({{"source", source_key_}, {"recipe", to_json(recipe)}});
    const std::string key = evaluation_key(quantization_key);
    Json cache = read_cache(cache_path);
    if (!reusable(cache, quantization_key, out)) cache = quantize(recipe, out, quantization_key);
    if (text_at(cache, "evaluation_key") == key) return row_from_json(cache.at("row"));
    const DemoRow row = evaluate(scheme, out, cache.at("quantized"));
    cache["evaluation_key"] = key;
    cache["row"] = to_json(row);
    write_cache(cache_path, cache);
    return row;
  }

  const TextWindows& windows() const { return windows_; }
  const std::string& text_sha256() const { return text_sha256_; }

 private:
  std::string evaluation_key(const std::string& model_key) {
    return key_of({{"model", model_key},
                   {"source", source_key_},
                   {"text", text_sha256_},
                   {"protocol", windows_.description},
                   {"speed_tokens", plan_.speed_tokens},
                   {"threads", context_.threads.thread_count()}});
  }

  // The manifest holds the hash of every file, so an unchanged manifest stands for the whole directory.
  static bool reusable(const Json& cache, const std::string& key, const std::string& out) {
    const std::string manifest = out + "/bitloom.json";
    return text_at(cache, "quantization_key") == key && fs::exists(manifest) &&
           text_at(cache, "manifest_sha256") == sha256_file(manifest);
  }

  Json quantize(const Recipe& recipe, const std::string& out, const std::string& key) {
    QuantizeOptions options;
    options.force = fs::exists(out + "/bitloom.json");  // only what an earlier run can have left is replaced
    if (fs::exists(out) && !options.force) misuse("{}: exists and is no quantized model; choose another --dir", out);
    const QuantizeResult result =
        quantize_model(make_task(original_, recipe, options, context_.threads), out, context_);
    const Json cache = {{"quantization_key", key},
                        {"manifest_sha256", sha256_file(out + "/bitloom.json")},
                        {"quantized",
                         {{"bits_nominal", result.bits_nominal},
                          {"bits_true", result.bits_true},
                          {"bytes", result.bytes},
                          {"bits_model", result.bits_model}}}};
    write_cache(out + ".json", cache);
    return cache;
  }

  DemoRow evaluate(const std::string& scheme, const std::string& path, const Json& quantized) {
    const auto model = Checkpoint::open(path);
    Decoder decoder(model, context_.threads);
    const auto logits = logits_of(decoder);
    const DivergenceResult result = divergence(reference_, *logits, windows_, context_);
    DemoRow row;
    row.scheme = scheme;
    row.bits_nominal = quantized.at("bits_nominal");
    row.bits_true = quantized.at("bits_true");
    row.bytes = quantized.at("bytes");
    row.bits_model = quantized.at("bits_model");
    row.perplexity = std::exp(result.nll);
    row.kl_mean = result.kl_mean;
    row.kl_low = result.kl_low;
    row.kl_high = result.kl_high;
    row.top1 = result.top1;
    row.tokens_per_second = measure_speed(decoder, *model);
    return row;
  }

  double measure_speed(Decoder& decoder, const Checkpoint& model) const {
    return decode_speed(decoder, model.tokenizer(), plan_.prompt, plan_.speed_tokens);
  }

  const DemoPlan& plan_;
  Context& context_;
  std::shared_ptr<const Checkpoint> original_;
  Decoder original_decoder_;
  ReplayedLogits reference_;
  std::string text_sha256_;
  TextWindows windows_;
  std::string source_key_;
};

}  // namespace

std::string demo_output(const DemoPlan& plan, const std::string& scheme) { return plan.directory + "/" + scheme; }

Json to_json(const DemoRow& row) {
  return {{"scheme", row.scheme},
          {"bits_nominal", row.bits_nominal},
          {"bits_true", row.bits_true},
          {"bytes", row.bytes},
          {"bits_model", row.bits_model},
          {"ppl", row.perplexity},
          {"kl_mean", row.kl_mean},
          {"kl_ci95", {row.kl_low, row.kl_high}},
          {"top1", row.top1},
          {"tokens_per_second", row.tokens_per_second}};
}

DemoResult run_demo(const DemoPlan& plan, Context& context) {
  std::error_code error;
  fs::create_directories(plan.directory, error);
  if (error) fail(ErrorKind::kFailed, "{}: {}", plan.directory, error.message());
  Demo demo(plan, context);
  DemoResult result;
  const size_t total = plan.schemes.size() + 1;
  for (size_t i = 0; i < total; ++i) {
    const std::string name = i == 0 ? "original" : plan.schemes[i - 1];
    const Stopwatch watch;
    result.rows.push_back(i == 0 ? demo.original_row() : demo.row(name));
    context.progress.log(fmt::format("[{}/{}] {}: perplexity {}, {}", i + 1, total, name,
                                     format_perplexity(result.rows.back().perplexity),
                                     format_duration(watch.seconds())));
  }
  result.protocol = demo.windows().description;
  result.text_sha256 = demo.text_sha256();
  result.tokens = demo.windows().scored_tokens;
  return result;
}

}  // namespace bitloom

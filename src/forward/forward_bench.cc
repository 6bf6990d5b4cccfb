// Whole-sequence passes of a model of SmolLM2-135M's shape with random bf16 weights, against the machine's sgemm rate.
// "percent" is of measure_sgemm_gflops on the same threads; "gflops" counts the products only: 2 per weight of the
// linear layers and token, and 4 * head_dim per head and visible pair of positions.

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/memory/dtype.h"
#include "base/rng.h"
#include "forward/attention/attention.h"
#include "forward/decoder.h"
#include "io/safetensors/safetensors.h"
#include "linalg/gemm.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

constexpr int64_t kHidden = 576, kWidth = 1536, kHeads = 9, kKvHeads = 3, kHeadDim = 64, kBlocks = 30, kVocab = 1024;

const char* const kConfig = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 576,
  "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
  "vocab_size": 1024, "max_position_embeddings": 8192, "rms_norm_eps": 1e-05, "rope_theta": 100000.0,
  "hidden_act": "silu", "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"})";

std::vector<TensorSpec> tensor_specs() {
  std::vector<TensorSpec> specs = {{"model.embed_tokens.weight", DType::kBF16, {kVocab, kHidden}},
                                   {"model.norm.weight", DType::kBF16, {kHidden}}};
  const auto add = [&](int64_t block, const std::string& name, std::vector<int64_t> shape) {
    specs.push_back({"model.layers." + std::to_string(block) + "." + name + ".weight", DType::kBF16, std::move(shape)});
  };
  for (int64_t b = 0; b < kBlocks; ++b) {
    add(b, "input_layernorm", {kHidden});
    add(b, "post_attention_layernorm", {kHidden});
    add(b, "self_attn.q_proj", {kHeads * kHeadDim, kHidden});
    add(b, "self_attn.k_proj", {kKvHeads * kHeadDim, kHidden});
    add(b, "self_attn.v_proj", {kKvHeads * kHeadDim, kHidden});
    add(b, "self_attn.o_proj", {kHidden, kHeads * kHeadDim});
    add(b, "mlp.gate_proj", {kWidth, kHidden});
    add(b, "mlp.up_proj", {kWidth, kHidden});
    add(b, "mlp.down_proj", {kHidden, kWidth});
  }
  return specs;
}

/// The random model, in a directory that is removed at the end.
class RandomModel {
 public:
  RandomModel() : path_(std::filesystem::temp_directory_path() / ("bitloom-bench-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
    std::ofstream(path_ / "config.json") << kConfig;
    const std::vector<TensorSpec> specs = tensor_specs();
    SafetensorsWriter writer(path_.string(), specs, int64_t{1} << 40);
    Rng rng(1, 1);
    for (const TensorSpec& spec : specs) {
      std::vector<uint16_t> values(static_cast<size_t>(spec.bytes() / 2));
      for (uint16_t& value : values) value = f32_to_bf16(0.1f * (rng.uniform() - 0.5f));
      writer.write(spec.name, std::as_bytes(std::span(values)));
    }
    writer.finish();
  }
  ~RandomModel() { std::filesystem::remove_all(path_); }
  RandomModel(const RandomModel&) = delete;
  RandomModel& operator=(const RandomModel&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

double linear_flops(const Graph& graph, double tokens) {
  double flops = 0;
  for (const Site& site : linear_sites(graph)) {
    flops += 2.0 * static_cast<double>(site.linear->out) * static_cast<double>(site.linear->in) * tokens;
  }
  return flops;
}

double attention_flops(double tokens) { return 4.0 * kHeadDim * kHeads * tokens * (tokens + 1) / 2; }

// Reports `flops` per iteration against the roof.
void report(benchmark::State& state, double flops, double roof) {
  using benchmark::Counter;
  const double total = flops * static_cast<double>(state.iterations()) * 1e-9;
  state.counters["gflops"] = Counter(total, Counter::kIsRate);
  state.counters["percent"] = Counter(100.0 * total / roof, Counter::kIsRate);
}

double roof_of(ThreadPool& threads) {
  static const double roof = measure_sgemm_gflops(2048, 1.0, threads);
  return roof;
}

void forward(benchmark::State& state) {
  static const RandomModel model;
  const int64_t length = state.range(0);
  ThreadPool threads;
  const double roof = roof_of(threads);
  Decoder decoder(Checkpoint::open(model.path()), threads);
  std::vector<int32_t> tokens(static_cast<size_t>(length));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 31 % kVocab);
  for (auto _ : state) benchmark::DoNotOptimize(decoder.forward(tokens, 1, length).data());
  const double count = static_cast<double>(length);
  report(state, linear_flops(decoder.graph(), count) + kBlocks * attention_flops(count), roof);
  state.counters["tokens/s"] =
      benchmark::Counter(count * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(forward)->Arg(512)->Arg(2048)->UseRealTime()->Unit(benchmark::kMillisecond);

void attention_only(benchmark::State& state) {
  const int64_t length = state.range(0);
  ThreadPool threads;
  const double roof = roof_of(threads);
  Attention spec;
  spec.heads = kHeads, spec.kv_heads = kKvHeads, spec.head_dim = kHeadDim;
  std::vector<float> qkv(static_cast<size_t>(length * qkv_width(spec)), 0.1f);
  std::vector<float> out(static_cast<size_t>(length * kHeads * kHeadDim));
  const QkvViews views = qkv_views(spec, qkv.data(), length);
  const Pass pass = Pass::whole(1, length);
  AttentionCall call;
  call.pass = &pass;
  call.q = views.q, call.k = views.k, call.v = views.v;
  call.heads = kHeads, call.kv_heads = kKvHeads, call.head_dim = kHeadDim;
  call.scale = 0.125f, call.out = out.data();
  AttentionScratch scratch;
  for (auto _ : state) attention(call, scratch, threads);
  report(state, attention_flops(static_cast<double>(length)), roof);
}
BENCHMARK(attention_only)->Arg(512)->Arg(2048)->UseRealTime()->Unit(benchmark::kMillisecond);

/// Attention of a token after range(1) others in all 22 blocks of an 1.1B-parameter model (32 heads, 4 key heads of 64
/// channels), over a cache of every_kv_format()[range(0)]: bytes of keys and values per second.
void attention_over_cache(benchmark::State& state) {
  constexpr int64_t kDeepBlocks = 22, kDeepHeads = 32, kDeepKvHeads = 4;
  const KvFormat format = every_kv_format()[static_cast<size_t>(state.range(0))];
  const int64_t keys = state.range(1), row = kDeepKvHeads * kv_head_bytes(format, kHeadDim);
  Rng rng(1, 2);
  std::vector<std::byte> rows(static_cast<size_t>(keys * row));
  std::vector<float> head(kHeadDim);
  for (int64_t i = 0; i < keys * kDeepKvHeads; ++i) {
    for (float& x : head) x = static_cast<float>(rng.normal());
    write_kv_head(format, head.data(), kHeadDim, rows.data() + i * kv_head_bytes(format, kHeadDim));
  }
  std::vector<std::vector<std::byte>> kept(2 * kDeepBlocks, rows);
  std::vector<KvRows> page;
  for (size_t i = 0; i < kept.size(); i += 2) page.push_back({kept[i].data(), kept[i + 1].data(), format});
  const std::vector<KvRun> runs = {{page, 0, keys}};
  Pass pass;
  pass.add(1, keys - 1, keys, runs);
  Attention spec;
  spec.heads = kDeepHeads, spec.kv_heads = kDeepKvHeads, spec.head_dim = kHeadDim;
  std::vector<float> qkv(static_cast<size_t>(qkv_width(spec)), 0.1f), out(kDeepHeads * kHeadDim);
  const QkvViews views = qkv_views(spec, qkv.data(), 1);
  AttentionCall call;
  call.pass = &pass, call.q = views.q, call.k = views.k, call.v = views.v;
  call.heads = kDeepHeads, call.kv_heads = kDeepKvHeads, call.head_dim = kHeadDim;
  call.scale = 0.125f, call.out = out.data();
  ThreadPool threads;
  AttentionScratch scratch;
  scratch.isa = best_isa();
  for (auto _ : state) {
    for (call.block = 0; call.block < kDeepBlocks; ++call.block) attention(call, scratch, threads);
  }
  state.SetLabel(std::string(name_of(format)));
  state.SetBytesProcessed(state.iterations() * 2 * kDeepBlocks * keys * row);
}
BENCHMARK(attention_over_cache)
    ->ArgsProduct({{0, 1, 2, 3, 4}, {128, 8192}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void decode_step(benchmark::State& state) {
  static const RandomModel model;
  ThreadPool threads;
  Decoder decoder(Checkpoint::open(model.path()), threads);
  KvCache cache(decoder.graph(), 4096);
  const std::vector<int32_t> prompt(128, 5), next = {7};
  decoder.step(prompt, cache);
  for (auto _ : state) {
    if (cache.size() == cache.capacity()) cache.clear();
    benchmark::DoNotOptimize(decoder.step(next, cache).data());
  }
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(decode_step)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bitloom

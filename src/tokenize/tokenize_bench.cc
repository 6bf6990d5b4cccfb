// MB/s of encode and decode. Texts are long and not repeated, so that the piece cache meets what it meets in use.
#include <benchmark/benchmark.h>

#include <filesystem>

#include "io/json.h"
#include "tokenize/tokenizer.h"

namespace bitloom {
namespace {

constexpr size_t kMaxBytes = size_t{100} << 20;

struct Subject {
  const char* name;
  const char* path;
  Tokenizer (*load)(const char* path);
};

Tokenizer from_file(const char* path) { return Tokenizer::from_json(read_json(path), path); }
Tokenizer from_bin(const char* path) { return Tokenizer::from_json(tokenizer_json_from_llama2c(path), path); }
Tokenizer from_gguf(const char* path) { return Tokenizer::from_gguf(GgufFile::open(path)); }
Tokenizer from_directory(const char* path) { return Tokenizer::load(path); }

constexpr Subject kSubjects[] = {
    {"demo", "assets/demo/tokenizer.json", from_file},
    {"gpt_neox", "../shared/data/tokenizers/gpt-neox.json", from_file},
    {"smollm2", "build/models/SmolLM2-135M-Instruct.Q4_1.gguf", from_gguf},
    {"llama2_bin", "../shared/data/tokenizers/llama2/tokenizer.bin", from_bin},
    {"sentencepiece", "../shared/models/babyllama-char", from_directory},
};

// English text of up to `bytes`: a file given by BITLOOM_BENCH_TEXT, else the evaluation text.
std::string text_of(size_t bytes) {
  const char* path = std::getenv("BITLOOM_BENCH_TEXT");
  std::string text = read_text(path ? path : "assets/demo/evaluation.txt");
  if (text.size() > bytes) text.resize(text.rfind('\n', bytes));
  return text;
}

void encode(benchmark::State& state, const Subject& subject) {
  const Tokenizer tokenizer = subject.load(subject.path);
  const std::string text = text_of(std::min(kMaxBytes, static_cast<size_t>(state.range(0))));
  size_t ids = 0;
  for (auto _ : state) {
    ids = tokenizer.encode(text).size();
    benchmark::DoNotOptimize(ids);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.counters["bytes_per_token"] = static_cast<double>(text.size()) / static_cast<double>(ids);
}

void decode(benchmark::State& state, const Subject& subject) {
  const Tokenizer tokenizer = subject.load(subject.path);
  const std::string text = text_of(static_cast<size_t>(state.range(0)));
  const std::vector<int32_t> ids = tokenizer.encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

const int kRegistered = [] {
  for (const Subject& subject : kSubjects) {
    if (!std::filesystem::exists(subject.path)) continue;
    benchmark::RegisterBenchmark((std::string("encode/") + subject.name).c_str(), encode, subject)
        ->Arg(1 << 10)
        ->Arg(1 << 20)
        ->Arg(kMaxBytes)
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark((std::string("decode/") + subject.name).c_str(), decode, subject)
        ->Arg(1 << 20)
        ->Unit(benchmark::kMillisecond);
  }
  return 0;
}();

}  // namespace
}  // namespace bitloom

#include "runtime/generate.h"

#include "runtime/generate_loop.h"

namespace bitloom {

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  if (!ids.empty()) return ids;
  if (const auto start = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id()) ids.push_back(*start);
  return ids;
}

std::vector<int32_t> end_ids(const Graph& graph, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = graph.eos_ids;
  const std::vector<int32_t> ends = tokenizer.end_ids();
  ids.insert(ids.end(), ends.begin(), ends.end());
  return ids;
}

GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text) {
  return generate(decoder, tokenizer, encode_prompt(tokenizer, prompt), options, on_text);
}

GenerateResult generate(Decoder& decoder, const Tokenizer& tokenizer, std::vector<int32_t> prompt_ids,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text) {
  CachedSequence sequence(decoder, options.kv);
  return generate(sequence, tokenizer, std::move(prompt_ids), options, on_text, {});
}

GenerateResult generate(CachedSequence& sequence, const Tokenizer& tokenizer, std::vector<int32_t> prompt_ids,
                        const GenerateOptions& options, const std::function<void(const std::string&)>& on_text,
                        const std::function<bool()>& interrupted) {
  GenerateResult result;
  result.prompt_ids = std::move(prompt_ids);
  const Graph& graph = sequence.decoder().graph();
  Tokenizer::Stream stream(tokenizer, true, result.prompt_ids);
  const auto give = [&](const std::string& piece) {
    if (piece.empty()) return;
    result.text += piece;
    if (on_text) on_text(piece);
  };
  run_generate_loop({.keep = [&](std::span<const int32_t> prompt) { return sequence.keep(prompt); },
                     .step = [&](std::span<const int32_t> tokens, bool want) { return sequence.step(tokens, want); },
                     .lookup = {.step = [&](std::span<const int32_t> tokens) { return sequence.step_all(tokens); },
                                .truncate = [&](int64_t size) { sequence.truncate(size); }},
                     .on_token = [&](int32_t id) { give(stream.push(id)); },
                     .interrupted = interrupted,
                     .end_ids = end_ids(graph, tokenizer),
                     .max_positions = graph.max_positions},
                    options, result);
  give(stream.finish());
  return result;
}

}  // namespace bitloom

#include "calibration/samples.h"

#include <numeric>

#include "base/error.h"
#include "calibration/documents.h"
#include "calibration/sampling_rules.h"
#include "io/hash.h"

namespace bitloom {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;  // of samples and of length: their product stays in 64 bits

void check(const CalibrationOptions& options) {
  const bool all = options.rule == SamplingRule::kPacked && options.samples == kAllWindows;
  if (!all && (options.samples < 1 || options.samples > kMost))
    misuse("{} calibration samples: must be 1 to {}", options.samples, kMost);
  if (options.length < 2 || options.length > kMost)
    misuse("calibration samples of {} tokens: must be 2 to {}", options.length, kMost);
  if (options.file.empty() && to_string(options.format) != "plain")
    misuse("calibration format {} is for a file; the built-in text is plain", to_string(options.format));
}

Selection select(Documents& documents, const CalibrationOptions& options) {
  switch (options.rule) {
    case SamplingRule::kGptq:
      return sample_gptq(documents, options);
    case SamplingRule::kPacked:
      return sample_packed(documents, options);
    case SamplingRule::kRows:
      break;
  }
  return sample_rows(documents, options);
}

void append_u32(std::string& bytes, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift & 0xFF);
}

// "built-in mixed text (plain, sha256 8397093fa255), gptq: 128 x 2048 tokens, seed 0, random windows of 84 of 130
// documents"
std::string describe(const CalibrationSet& set, const std::string& note) {
  const CalibrationOptions& options = set.options;
  const bool ragged = options.rule == SamplingRule::kRows;
  const std::string shape = ragged ? fmt::format("{} x at most {}", options.samples, options.length)
                                   : fmt::format("{} x {}", options.samples, options.length);
  return fmt::format("{} ({}, sha256 {}), {}: {} tokens{}, seed {}, {}", set.source, to_string(options.format),
                     set.sha256.substr(0, 12), to_string(options.rule), shape,
                     ragged ? fmt::format(" ({} in all)", set.tokens()) : "", options.seed, note);
}

}  // namespace

int64_t CalibrationSet::tokens() const {
  return std::accumulate(sequences.begin(), sequences.end(), int64_t{0},
                         [](int64_t sum, const auto& sequence) { return sum + static_cast<int64_t>(sequence.size()); });
}

std::string CalibrationSet::ids_sha256() const {
  std::string bytes;
  for (const std::vector<int32_t>& sequence : sequences) {
    append_u32(bytes, static_cast<uint32_t>(sequence.size()));
    for (const int32_t id : sequence) append_u32(bytes, static_cast<uint32_t>(id));
  }
  return sha256_hex(bytes);
}

CalibrationSet sample_calibration(const Tokenizer* tokenizer, int64_t vocab_size, const CalibrationOptions& options) {
  check(options);
  CalibrationText text = read_calibration_text(options.file);
  CalibrationSet set;
  set.options = options;
  set.source = text.source;
  set.sha256 = sha256_hex(text.bytes);
  if (tokenizer != nullptr) set.tokenizer_sha256 = tokenizer->hash();
  Documents documents(text, options.format, tokenizer, vocab_size);
  std::string().swap(text.bytes);  // the documents hold what they need
  Selection selection = select(documents, options);
  set.sequences = std::move(selection.sequences);
  if (options.samples == kAllWindows) set.options.samples = static_cast<int64_t>(set.sequences.size());
  set.description = describe(set, selection.note);
  return set;
}

Json to_json(const CalibrationSet& set) {
  return {{"source", set.source},
          {"sha256", set.sha256},
          {"format", to_string(set.options.format)},
          {"rule", to_string(set.options.rule)},
          {"samples", set.options.samples},
          {"length", set.options.length},
          {"seed", set.options.seed},
          {"tokens", set.tokens()},
          {"ids_sha256", set.ids_sha256()},
          {"tokenizer_sha256", set.tokenizer_sha256},
          {"description", set.description}};
}

}  // namespace bitloom

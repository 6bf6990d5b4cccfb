#pragma once
// What is said of a model beside its predictions: how it is stored, what it weighs, how fast it decodes.

#include <string>

#include "forward/decoder.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct ModelSize {
  std::string format;                      // storage of most of the blocks' weights; "+ 2 more" when there are others
  std::string activations;                 // what most of the blocks' inputs are rounded to; "": none is
  std::string attention;                   // what most operands of attention are; "": none is
  double bits_nominal = 0, bits_true = 0;  // per weight of the matrices of the blocks
  int64_t bytes = 0;                       // of the weight files
  double bits_model = 0;                   // the same per weight of the model: embedding, head and norms included
};

/// "int4-row", "int4-row@int8-token", "int4-row@int8-token, keys int4-token".
std::string format_text(const ModelSize& size);

/// Nominal bits come from the manifest; a model that has none is taken to store what its format says.
ModelSize size_of(const Checkpoint& model);

/// The manifest of a bitloom directory; null for every other model and where it is missing.
Json manifest_of(const Checkpoint& model);

/// Tokens/s of one stream: `tokens` greedy steps after the prompt, less when the model ends sooner.
double decode_speed(Decoder& decoder, const Tokenizer& tokenizer, const std::string& prompt, int64_t tokens);

/// "models/demo/" -> "demo"
std::string base_name(const std::string& path);

}  // namespace bitloom

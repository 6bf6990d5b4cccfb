#pragma once
// Quantizes one model to several schemes and judges each on the same windows.
//
// Goals: whatever was finished by an earlier run of the same program on the same bytes is taken from `directory` again:
// a quantized model when its recipe, source and manifest are unchanged, its figures when the text and threads are, too.
// Non-goals: models of different origin side by side, pages; that is a comparison, not a demo.

#include <string>
#include <vector>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct DemoPlan {
  std::string model, text, directory, prompt;
  int64_t context = 512, windows = 0;  // windows: 0 means all
  int64_t speed_tokens = 64;           // generated to measure tokens/s
  std::vector<std::string> schemes;
};

/// One line of the table. For the original kl and top1 say nothing.
struct DemoRow {
  std::string scheme;
  double bits_nominal = 0, bits_true = 0;  // of the matrices of the blocks
  int64_t bytes = 0;                       // of the weight files
  double bits_model = 0;                   // the same per weight of the model
  double perplexity = 0, kl_mean = 0, kl_low = 0, kl_high = 0, top1 = 1, tokens_per_second = 0;
};

struct DemoResult {
  std::vector<DemoRow> rows;  // the original first
  std::string protocol, text_sha256;
  int64_t tokens = 0;
};

/// Where the model of a scheme lies.
std::string demo_output(const DemoPlan& plan, const std::string& scheme);

DemoResult run_demo(const DemoPlan& plan, Context& context);

Json to_json(const DemoRow& row);

}  // namespace bitloom

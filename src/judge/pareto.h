#pragma once
// Quality against cost over files of results: which models no other beats in both.

#include <string>
#include <vector>

#include "hardware/cost_model.h"
#include "io/json.h"
#include "report/plot/plot.h"

namespace bitloom {

/// Weights of one storage in a model; `weights`: how many.
struct StoredShare {
  std::string storage;
  double weights = 1;
};

/// One model's row of a file of results.
struct ResultRow {
  std::string label;
  Json figures;                       // keys of `compare --json`: kl_mean, kl_ci95, ppl, bytes ...
  std::vector<StoredShare> storages;  // of the matrices; empty where the file does not say
  std::string activations;            // "int8-token"; "" where inputs are read as they are or the file does not say
};

/// Rows of `bitloom compare --json` ("models") or of a suite's results.json ("rows": each with what `quantize` and the
/// evaluations found, the first that has a key; what they found of the model that was quantized is not the row's, and
/// where quantizing failed nothing is). Error(kRefused) naming `path` for a record of neither kind.
std::vector<ResultRow> read_result_rows(const Json& record, const std::string& path);

/// A figure of quality of which less is better.
struct Quality {
  std::string key, interval, title;  // of JSON; interval: "" for none
};
/// "kl_mean", "ppl", "nll", "bits_per_byte". Error(kUsage) beginning with `place`.
Quality quality_named(const std::string& key, const std::string& place);

/// What the points cost.
struct ParetoCost {
  std::string name = "bytes";  // "bytes": of the weight files; "lut", "gates": of one multiply-accumulate unit
  Accumulator accumulator = Accumulator::kExact;
  int64_t dot = 4096;
  std::string activations = "bf16";  // of rows without a format of activations
};
/// With its unit: "weight files, bytes", "LUTs of a unit, mean over the weights".
std::string title_of(const ParetoCost& cost);

struct ParetoPoint {
  std::string label, activations;
  double cost = 0;
  Estimate quality;
  bool front = false;  // no other is as good in both and better in one
};
struct LeftOut {
  std::string label, reason;
};
struct ParetoSet {
  std::vector<ParetoPoint> points;  // by rising cost
  std::vector<LeftOut> left_out;    // without a figure or a positive cost, or of numbers that no unit is modelled for
};

/// A unit's cost is the mean over a row's weights; formats of activations that rows name count, others are
/// cost.activations.
ParetoSet pareto_set(const std::vector<ResultRow>& rows, const Quality& quality, const ParetoCost& cost);

}  // namespace bitloom

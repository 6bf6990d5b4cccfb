#pragma once
// The answer to quantize --dry-run: what the run would take, and whether this machine has it.

#include <string>

#include "io/json.h"
#include "pipeline/predict_quantization.h"

namespace bitloom {

struct Forecast {
  QuantizeCost cost;
  int64_t memory_allowed = 0, disk_free = 0;
  bool fits() const { return cost.memory <= memory_allowed && cost.disk <= disk_free; }
};

/// `memory` is what --mem allows, 0: what the machine has; `out` lies on the disk that counts.
Forecast make_forecast(QuantizeCost cost, int64_t memory, const std::string& out);
std::string forecast_text(const Forecast& forecast, bool bold);
Json to_json(const Forecast& forecast);

}  // namespace bitloom

#pragma once
// Statistics of a model's inputs, kept in a directory so that another recipe can be tried without another pass over the
// data (quantize --save-stats DIR, then --stats DIR).
//
//   DIR/statistics.json                        of which model, after which rewrites, on which data
//   DIR/block-0003.mlp_down.safetensors        one input (observe/statistics_file.h)
//
// They are what the inputs were in the run that kept them: with its prefix quantized by its recipe.

#include <string>

#include "io/json.h"
#include "model/graph.h"
#include "observe/input_statistics.h"

namespace bitloom {

/// What statistics belong to.
struct StatisticsOrigin {
  Json source;           // {name: sha256} of the model's weight files
  std::string rewrites;  // short forms of the rewrites of the whole model, and their seed; "" for none
  Json calibration;      // the manifest's record of the data
};

/// Creates the directory and its statistics.json; statistics that an earlier run kept there are removed. Error(kFailed)
/// with path and reason.
void begin_statistics(const std::string& directory, const StatisticsOrigin& origin);
void keep_statistics(const std::string& directory, int block, const std::string& input,
                     const InputStatistics& statistics);

/// The record of the data. Error(kRefused) when the directory holds no statistics, or those of another model or of
/// other rewrites.
Json open_statistics(const std::string& directory, const StatisticsOrigin& expected);
/// Error(kRefused) naming file and reason: missing, another width, a moment that the recipe needs and the file lacks.
InputStatistics load_statistics(const std::string& directory, int block, const std::string& input, int64_t channels,
                                const Needs& needs);

}  // namespace bitloom

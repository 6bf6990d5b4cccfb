#pragma once
// What walking one block produced: what its tensors became, and what there is to say about it.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/memory/row_source.h"
#include "format/activations/activation_format.h"
#include "format/stored_matrix.h"
#include "io/json.h"
#include "model/graph.h"
#include "pipeline/rounding/site_record.h"

namespace bitloom {

/// What came of learning a block's vectors: errors on what was held out, as the tuner counts them. The least of these
/// chose the step, so `after` flatters somewhat. Not finite: nothing was learned.
struct BlockTuningRecord {
  double before = 0, after = 0;
  int64_t tokens = 0;  // held out
  int64_t best_step = 0, steps = 0;
};
/// Errors that are not finite are null.
Json to_json(const BlockTuningRecord& record);
BlockTuningRecord tuning_from_json(const Json& json);

struct BlockOutcome {
  std::map<std::string, std::shared_ptr<const StoredMatrix>> quantized;  // by tensor name
  // Tensors that a rewrite changed and that stay unquantized: norms, biases, W [out, in] of linears.
  std::map<std::string, std::vector<float>> rewritten;
  std::vector<SiteRecord> sites;                // of `quantized`, in the order of execution
  std::map<int, ActivationFormat> activations;  // by input: ranges that were found in the data
  std::vector<std::string> remarks;             // for the user
  std::optional<BlockTuningRecord> tuning;      // where the block was tuned
};

/// BlockOutcome::activations as text, and back.
std::map<std::string, std::string> to_texts(const std::map<int, ActivationFormat>& activations);
std::map<int, ActivationFormat> activations_of(const std::map<std::string, std::string>& texts);

/// Values of BlockOutcome::rewritten in the shape that TensorEdits take: W [out, in] of a linear of the block, also
/// where the file holds [in, out]; [1, n] of anything else.
RowSourcePtr rewritten_rows(const Graph& graph, int block, const std::string& tensor, std::vector<float> values);

}  // namespace bitloom

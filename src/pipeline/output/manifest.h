#pragma once
// bitloom.json: where a quantized model comes from and what was done to it. Same inputs, same bytes: it holds no time,
// no absolute path, nothing of the machine.
//
//   bitloom     version of the program          manifest   version of this format: 1
//   source      name, kind, files {name: {sha256, bytes}}   the weights, config.json and tokenizer it was made from
//   recipe      the recipe as a value; reads back as a recipe file
//   tensors     {name: {storage, search, rounding, shape [out, in], bytes, bits_nominal, bits_true, weight_error,
//               max_abs_error, saturated, zero_groups, and what was measured on data: rounding/site_record.h}}; one
//               taken over from a quantized source, its values unchanged, says "taken_over" instead of errors
//   calibration   of a recipe that looks at data: text, order, precision, seed         remarks   what the user was told
//   kept        {name: {dtype, shape, bytes}}
//   left_out    [name]: tensors of the source that its graph does not use (buffers, a vision tower)
//   totals      bits_nominal, bits_true over the linear layers of the blocks, kept ones as they are stored;
//               bits_true_model, weights, tensor_bytes over all
//   files       {name: {sha256, bytes}} of every other file of the directory

#include <string>
#include <vector>

#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/output/plan.h"
#include "pipeline/output/quantize_result.h"
#include "pipeline/task/file_records.h"

namespace bitloom {

inline constexpr const char* kManifestFile = "bitloom.json";
inline constexpr int kManifestVersion = 1;

/// "tensors", "kept" and "totals".
Json tensors_of(const std::vector<PlannedTensor>& plan, const QuantizeResult& result);

/// config.json of the output: the source's keys, and quantization_config
///   {"quant_method": "bitloom", "version": 2, "tensors": {NAME: {"storage": "int4-g128", "shape": [out, in]}},
///    "activations": {"blocks.3.mlp": "int8-token"}}, the last where inputs are rounded.
Json config_of(const Checkpoint& source, const std::vector<PlannedTensor>& plan, const InputFormats& activations,
               const OperandFormats& operands);

/// Fills in the figures that follow from the plan and the sites: bits, per matrix and in all.
void add_up(const std::vector<PlannedTensor>& plan, QuantizeResult& result);

}  // namespace bitloom

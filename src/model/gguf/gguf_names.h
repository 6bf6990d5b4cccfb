#pragma once
// What a GGUF file amounts to as a Hugging Face checkpoint: its config.json, where each of the graph's tensors lies,
// and the row orders that GGUF converters apply.
//
// GGUF names tensors by their role ("blk.0.attn_q.weight"), so the mapping is one walk over the graph for all
// architectures. What differs are metadata keys: one row per architecture in gguf_families.cc.

#include <map>
#include <string>
#include <vector>

#include "io/ggml/gguf.h"
#include "io/json.h"
#include "model/graph.h"

namespace bitloom {

/// The config.json of the same model. Error(kRefused) names file and key: unknown general.architecture (listing the
/// known), a missing count, experts, a rotary scaling that config.json cannot say.
Json config_from_gguf(const GgufFile& file);

/// How a tensor in a GGUF file differs from the checkpoint's.
enum class GgufLayout {
  kPlain,
  kTransposed,   // the checkpoint holds [in, out], the file [out, in] (gpt2)
  kPairedRows,   // llama and its kin: rows 2i, 2i + 1 of each head are rows i, i + head_dim / 2 of the checkpoint
  kGroupedRows,  // gptneox, bloom, falcon: all q, all k, all v rows; the checkpoint has q, k, v per key head
  kPlusOne,      // norms of gemma and nemotron: stored with 1 added
};

struct GgufPlace {
  std::string name;  // in the GGUF file
  GgufLayout layout = GgufLayout::kPlain;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;  // of row orders
  int64_t expert = -1;  // the file holds all experts' together, along the first dimension; -1: it does not
  int64_t experts = 0;  // how many
  // Where the file may hold the matrix as two: for each of `heads` heads head_dim rows of `keys` [heads, cols,
  // head_dim], turned over, then those of `values` [heads, rows / heads - head_dim, cols].
  std::string keys = {}, values = {};
};

/// Checkpoint name -> place in a GGUF file of architecture `general_architecture`, for every tensor of the graph.
std::map<std::string, GgufPlace> gguf_places(const Graph& graph, const std::string& general_architecture);

/// Row r of the checkpoint is row order[r] of the file, for kPairedRows and kGroupedRows.
std::vector<int64_t> gguf_row_order(const GgufPlace& place);

/// A float that came from fp32, as the shortest decimal that reads back to it: 9.999999747378752e-06 is 1e-05.
double shortest_decimal(double value);

}  // namespace bitloom

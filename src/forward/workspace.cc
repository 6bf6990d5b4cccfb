#include "forward/workspace.h"

#include <algorithm>

#include "forward/heads.h"

namespace bitloom {
namespace {

void grow(std::vector<float>& buffer, int64_t rows, int64_t width) {
  const size_t needed = static_cast<size_t>(rows * width);
  if (buffer.size() < needed) buffer.resize(needed);
}

}  // namespace

void Workspace::reserve(const Graph& graph, int64_t rows) {
  grow(hidden, rows, graph.hidden);
  grow(normed, rows, graph.hidden);
  grow(branch, rows, graph.hidden);
  for (const Block& block : graph.blocks) {
    grow(qkv, rows, qkv_width(block.attention));
    grow(attended, rows, block.attention.heads * block.attention.head_dim);
    grow(gate, rows, block.mlp.fused_gate_up ? 2 * block.mlp.width : block.mlp.width);
    grow(up, rows, block.mlp.gated ? block.mlp.width : 0);
  }
  if (graph.project_in.present()) grow(narrow, rows, graph.project_in.in);
  if (graph.project_out.present()) grow(narrow, rows, graph.project_out.out);
}

}  // namespace bitloom

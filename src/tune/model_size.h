#pragma once
// What learning takes of a model, from its shapes.

#include <cstdint>

#include "pipeline/task/quantize_task.h"
#include "tune/learned/parametrisation.h"

namespace bitloom {

struct ModelSize {
  double work = 0;               // weights that a row meets in all blocks
  int64_t block = 0;             // weights of the largest block
  int64_t widest_input = 0;      // numbers of a row that a linear layer reads, at most
  int64_t activations = 0;       // numbers of a row that the widest block holds at once in its backward pass
  LearnedSize learned;           // in all, at most
  LearnedSize learned_of_block;  // of the block with the most
  int64_t panels = 0;            // numbers of the gradients of W that are held at once, at most
};

/// Weights that a row meets in a linear layer: those of experts count by the share of rows that they see.
double work_of(const Graph& graph, const Site& site);

/// Of the graph alone: nothing is learned.
ModelSize size_of(const Graph& graph);
/// `correction`: of blocks' grids a product of this rank is learned, not 0 (latent_grid.h).
ModelSize size_of(const QuantizeTask& task, Learned what, int64_t correction = 0);

/// Of a latent weight in a step, as flops of dense products: rounded twice, moved once, one number after another.
inline constexpr double kLatentWork = 1000;

/// Bytes of values that are learned: as they are, Adam's three numbers and the best of each in fp32, the gradient in
/// double, and the checkpoint as it is written; what is held besides them; of weights whose codes are learned B and its
/// squares in fp32, and the codes as they are, twice, and the best.
int64_t bytes_of(const LearnedSize& size);

}  // namespace bitloom

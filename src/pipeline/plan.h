#pragma once
// What an output directory will hold, decided before a byte of it is written: every tensor with its treatment, dtype
// and shape, and so every byte.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "format/stored_matrix.h"
#include "io/safetensors.h"
#include "model/checkpoint.h"
#include "recipe/recipe.h"

namespace bitloom {

/// A tensor of the source and what becomes of it; exactly one of `step`, `taken`, `exact`, `stored` and `kept_dtype` is
/// set.
struct PlannedTensor {
  std::string name;
  std::string file;                           // that holds it in the source, for messages
  RowSourcePtr rows;                          // [out, in] where it is rounded, else as stored
  std::optional<RecipeStep> step;             // rounded
  std::shared_ptr<const StoredMatrix> taken;  // quantized already and kept: its parts are taken over
  std::optional<RoundingTarget> exact;        // quantized already by another tool: this holds the same values
  std::optional<TensorView> stored;           // kept: its bytes are copied
  std::optional<DType> kept_dtype;            // kept, but from blocks that we cannot hold: decoded to this
  std::vector<TensorSpec> parts;              // what the files will hold
  int64_t source_bytes = 0;
  bool of_blocks = false;  // a linear layer of the blocks

  /// The bytes that are announced are those that rounding will make, not only their upper bound.
  bool sizes_known() const { return !step || has_fixed_sizes(step->storage()); }
  bool is_rounded() const { return step || exact; }
  bool is_quantized() const { return is_rounded() || taken; }
  int64_t weights() const { return rows->rows() * rows->cols(); }
  int64_t bytes() const;
  /// Of a quantized tensor: what it is or will be stored as.
  Storage storage() const { return taken ? taken->spec() : step ? step->storage() : exact->storage; }
};

/// Every tensor that the model's graph uses, in the order of `source`. Of the weights it reads those that stay but
/// cannot stay in their storage (GGUF blocks, edited values), to see what holds them.
std::vector<PlannedTensor> plan_tensors(const Checkpoint& source, const std::map<std::string, RecipeStep>& steps,
                                        Context& context);

/// Bytes of disk that the output takes at most: every weight, `companions` (file name -> contents), and bounds for the
/// texts that are written about them.
int64_t disk_needed(const std::vector<PlannedTensor>& plan, const std::map<std::string, std::string>& companions);

/// What the user should know about the plan before it is carried out: weights that were quantized before, kept tensors
/// that grow because their storage cannot be kept, tensors that are left out.
std::vector<std::string> remarks_on(const Checkpoint& source, const std::vector<PlannedTensor>& plan);

}  // namespace bitloom

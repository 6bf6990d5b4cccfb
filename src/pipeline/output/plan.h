#pragma once
// What an output directory will hold, decided before a byte of it is written: every tensor with its treatment, dtype
// and shape, and so every byte.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/context.h"
#include "format/stored_matrix.h"
#include "io/safetensors/safetensors.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/rounding/finished_matrix.h"
#include "recipe/recipe.h"

namespace bitloom {

/// Kept: its bytes are copied.
struct CopyBytes {
  TensorView stored;
};
/// Kept, but from a storage that the output does not know (blocks of a GGUF file, rewritten values): decoded to this.
struct EncodeValues {
  DType dtype = DType::kF32;
};
/// Quantized in the source and kept: its parts are copied.
struct TakeOver {
  std::shared_ptr<const StoredMatrix> matrix;
};
/// Quantized in the source by another tool and kept: this holds the same values.
struct HoldExactly {
  RoundingTarget target;
};
/// Rounded as it is written, or ahead of that when only the result tells its size.
struct RoundByStep {
  RecipeStep step;
};
/// What becomes of a tensor. A FinishedMatrix was quantized before writing begins: with the help of data, or ahead.
using Treatment = std::variant<CopyBytes, EncodeValues, TakeOver, HoldExactly, RoundByStep, FinishedMatrix>;

struct PlannedTensor {
  std::string name;
  std::string file;   // that holds it in the source, for messages
  RowSourcePtr rows;  // of the source: [out, in] where it will be quantized, else as stored
  Treatment treatment;
  std::vector<TensorSpec> parts;  // what the files will hold, at most
  int64_t source_bytes = 0;
  bool of_blocks = false;  // a linear layer of the blocks

  /// What it is or will be stored as; nullopt: kept, and not quantized.
  std::optional<Storage> storage() const;
  bool is_quantized() const { return storage().has_value(); }
  /// By this run, now or before.
  bool is_rounded() const;
  /// The bytes that are announced are those that rounding will make, not only their upper bound.
  bool sizes_known() const;
  int64_t weights() const { return rows->rows() * rows->cols(); }
  int64_t bytes() const;
  /// Of all its weights together, as papers count them; of a kept tensor as it is stored.
  double total_nominal_bits() const;
  /// It was rounded ahead.
  void finish(FinishedMatrix finished);
};

/// Every tensor that the model's graph uses, in the order of `model`: those of `finished` as they are there, others by
/// `steps` (see resolve()), the rest is kept. Of the weights it reads those that stay but cannot stay in their storage
/// (GGUF blocks, edited values), to see what holds them.
std::vector<PlannedTensor> plan_tensors(const Checkpoint& model, const std::map<std::string, RecipeStep>& steps,
                                        const FinishedMatrices& finished, Context& context);

/// Bytes of disk that the output takes at most: every weight, `companions` (file name -> contents), and bounds for the
/// texts that are written about them.
int64_t disk_needed(const std::vector<PlannedTensor>& plan, const std::map<std::string, std::string>& companions);

/// What the user should know about the plan before it is carried out: weights that were quantized before, kept tensors
/// that grow because their storage cannot be kept, tensors that are left out.
std::vector<std::string> remarks_on(const Checkpoint& source, const std::vector<PlannedTensor>& plan);

}  // namespace bitloom

#pragma once
// Which matrix gets how many bits, so that the output takes no more bytes than it may and loses as little as it can
// (papers' beyond page, 2.7). A recipe goes in, a recipe comes out: the same steps, and for every storage that was
// chosen one more, which names its matrices.
//
//   a group      the matrices of one role in one block (so all experts of it), the embedding, the head
//   its choices  the storage of its step at all widths (format/storage.h) from the floor on
//   their loss   a_group * t(storage): sensitivity.h, storage_error.h; what feedback leaves of it is in a_group for the
//   methods that tell (round/feedback_share.h), and taken to be the same share of all for others
//
// The floor keeps the prediction honest, which is of first order only: of the blocks a step of the storage's widths
// below the mean that they would have without it. The embedding and the head, unless a step says what they become or
// that they stay, are rounded to nearest, and get kOutsideBits at least: they are read token by token, where an error
// is not averaged.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/task/quantize_options.h"
#include "recipe/recipe.h"

namespace bitloom {

inline constexpr const char* kOutsideTarget = "int8-g64-mse";
inline constexpr double kOutsideBits = 4;

struct AllocatedGroup {
  std::string place;                 // "blocks.3.down", "embedding"
  std::vector<std::string> tensors;  // of the group
  std::string storage;               // chosen
  int64_t weights = 0, bytes = 0;    // bytes at most, headers included
  double sensitivity = 0;            // nats a token per unit of the storage's error without data
  double error = 0;                  // expected of the storage
  double loss() const { return sensitivity * error; }
};

struct Allocation {
  Recipe recipe;
  std::vector<AllocatedGroup> groups;
  int64_t bytes = 0;        // of the weight files, at most
  int64_t memory = 0;       // that allocating took, at most, beside what the process held: from shapes and threads
  double predicted_kl = 0;  // nats a token: sum of the groups' losses
};

/// `bytes` is what the weight files may take, `options.data` has the tokens to try storages on. Error(kUsage) for a
/// recipe whose storages have one width, and for fewer bytes than the smallest choice takes: says what it takes.
/// Error(kFailed) where `options.memory` is less than it takes, before anything is tried. Ranks share the work and come
/// to the same recipe, which is that of one process.
Allocation allocate_bits(std::shared_ptr<const Checkpoint> source, const Recipe& recipe, const QuantizeOptions& options,
                         int64_t bytes, Context& context);

/// Bytes that so many bits per weight of the model are.
int64_t bytes_at(const Model& model, double bits_per_weight);

Json to_json(const Allocation& allocation);

}  // namespace bitloom

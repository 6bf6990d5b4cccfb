#pragma once
// Activations of the calibration sequences while a block is walked: in memory, or in a file when the budget is small.
//
// A chunk is some sequences that go through a block together; a slot is one buffer that a pause inside the block must
// keep (see BlockRunner::kept_at). The file has no name while it is open, so nothing stays behind when the run dies.
// Bytes in the file are the same as those in memory: where activations lie does not change any result.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/task/activation_precision.h"

namespace bitloom {

/// What a store will hold.
struct ActivationShape {
  std::vector<int64_t> chunk_rows;  // tokens of each chunk
  std::vector<int64_t> widths;      // values per token of each slot, the largest that it must hold
  ActivationPrecision precision = ActivationPrecision::kF32;
  int64_t bytes() const;
};

class ActivationStore {
 public:
  /// `directory` empty: in memory; else a file in that directory. Error(kFailed) with path and reason when it cannot be
  /// made as large as it must be.
  ActivationStore(ActivationShape shape, const std::string& directory);
  ~ActivationStore();
  ActivationStore(const ActivationStore&) = delete;
  ActivationStore& operator=(const ActivationStore&) = delete;

  /// x [rows of the chunk, width], width at most the slot's.
  void put(int64_t chunk, int slot, const float* x, int64_t width);
  void get(int64_t chunk, int slot, float* x, int64_t width) const;

  const ActivationShape& shape() const { return shape_; }
  bool in_file() const { return file_ >= 0; }

 private:
  int64_t place(int64_t chunk, int slot) const;
  [[noreturn]] void fail_errno(const char* action) const;

  ActivationShape shape_;
  std::string path_;
  int file_ = -1;
  std::vector<int64_t> chunk_begin_;  // bytes
  std::vector<std::byte> memory_;
  mutable std::vector<std::byte> transfer_;
};

}  // namespace bitloom

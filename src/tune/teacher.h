#pragma once
// What the model gives before it is quantized: the target of distillation. Each sequence is run once; what is kept of
// it are the hidden states behind the last norm, of which logits are made when they are asked for.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "forward/decoder.h"
#include "pipeline/walk/stream/activation_store.h"
#include "pipeline/walk/stream/calibration_stream.h"
#include "pipeline/walk/stream/token_entrance.h"

namespace bitloom {

class Teacher {
 public:
  /// Runs all chunks. `spill_directory` as in ActivationStore. Progress: the rows of each chunk. Error(kRefused) as
  /// Decoder::forward().
  Teacher(std::shared_ptr<const Model> model, const TokenSequences& sequences, const std::vector<SequenceChunk>& chunks,
          const std::string& spill_directory, Context& context);

  /// Of all rows of a chunk: [rows, width of hidden states].
  std::vector<float> hidden(size_t chunk) const;
  /// logits [rows, vocab] of hidden states [rows, width].
  void logits(const float* hidden, int64_t rows, float* out) const;
  int64_t width() const { return decoder_.hidden_width(); }

 private:
  ActivationShape shape(const std::vector<SequenceChunk>& chunks) const;

  Decoder decoder_;
  ActivationStore store_;
};

}  // namespace bitloom

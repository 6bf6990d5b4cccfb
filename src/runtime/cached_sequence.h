#pragma once
// A sequence that grows, is cut back and grows again, such as a conversation: tokens that are there already are not
// computed twice.

#include <cstdint>
#include <span>
#include <vector>

#include "forward/decoder.h"

namespace bitloom {

class CachedSequence {
 public:
  /// Holds nothing. The decoder must outlive it.
  explicit CachedSequence(Decoder& decoder, KvFormat kv = KvFormat::kFp32);

  Decoder& decoder() const { return decoder_; }
  /// The tokens whose keys and values are there.
  const std::vector<int32_t>& ids() const { return ids_; }

  /// Forgets what follows the longest beginning that this and `ids` share, at most all but the last of `ids`: the
  /// logits after that one are still to be computed. Returns how many tokens are left.
  int64_t keep(std::span<const int32_t> ids);

  /// Appends tokens; the logits [vocab] after the last one, valid until the next call, when `want_logits`, else none.
  std::span<float> step(std::span<const int32_t> tokens, bool want_logits);
  /// Appends tokens; the logits [tokens, vocab] after each of them, valid until the next call.
  std::span<float> step_all(std::span<const int32_t> tokens);
  /// Forgets all but the first `size` tokens.
  void truncate(int64_t size);

 private:
  std::span<float> append(std::span<const int32_t> tokens, int64_t rows);

  Decoder& decoder_;
  KvCache cache_;
  std::vector<int32_t> ids_;
  std::vector<float> logits_;  // of as many rows as were ever asked for
};

}  // namespace bitloom

#pragma once
// What a model is measured against, position by position: the reference model itself, or what was kept of it.

#include <memory>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "eval/row_math.h"
#include "eval/scoring.h"

namespace bitloom {

class ReferenceRows {
 public:
  virtual ~ReferenceRows() = default;
  virtual int64_t vocab_size() const = 0;
  /// As LogitsSource::run: load() then serves positions of this window.
  virtual void run(std::span<const int32_t> tokens) = 0;
  /// Makes the rows of `block` ready. Error(kFailed) for what is not finite, as read_logits().
  virtual void load(const ScoreBlock& block, Context& context) = 0;
  /// How far finite logits [vocab] of a model are from row i of the loaded block, whose next token is `target`. May be
  /// called from several threads at a time.
  virtual RowDivergence against(int64_t i, std::span<const float> logits, int64_t target) const = 0;
};

/// Rows of a model, exactly. `reference` must outlive them.
std::unique_ptr<ReferenceRows> rows_of(LogitsSource& reference);

}  // namespace bitloom

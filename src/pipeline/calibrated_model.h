#pragma once
// A model whose blocks were quantized with the help of data: rewrites that need no data, the walk over the blocks, and
// the journal that makes it resumable. What it hands over is a checkpoint like any other, ready to be written.

#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "io/json.h"
#include "model/checkpoint.h"
#include "pipeline/cost_model.h"
#include "pipeline/journal.h"
#include "pipeline/quantize_options.h"
#include "recipe/recipe.h"

namespace bitloom {

/// What the walk will take. `model` is the source after rewrite_model().
WalkCost predict_calibration(std::shared_ptr<const Checkpoint> model, const Recipe& recipe,
                             const QuantizeOptions& options, ThreadPool& threads);

class CalibratedModel {
 public:
  /// Of several ranks only the leading one touches `out` and gets the model: the others have no more to do.
  /// Does the work, or what an unfinished run left of it. Error(kUsage) when `out` exists and may not be replaced, when
  /// the recipe needs data and there is none, or as Journal says; Error(kFailed) when --mem can never be enough: says
  /// the least that would.
  /// `model` is the source after rewrite_model().
  CalibratedModel(const Checkpoint& source, std::shared_ptr<const Checkpoint> model, const std::string& out,
                  const Recipe& recipe, const QuantizeOptions& options, Context& context);

  /// The model with quantized matrices and rewritten vectors in place.
  const std::shared_ptr<const Checkpoint>& model() const { return model_; }
  const std::vector<SiteRecord>& sites() const { return sites_; }
  const std::vector<std::string>& remarks() const { return remarks_; }
  /// Where the time went.
  const WalkTimes& times() const { return times_; }
  /// {name: {sha256, bytes}} of the source's weight files.
  const Json& source_files() const { return source_files_; }
  /// The manifest's "calibration": data, order, precision, seed.
  const Json& record() const { return record_; }
  /// The output is complete: the journal goes.
  void finish() { journal_->discard(); }

 private:
  std::shared_ptr<const Checkpoint> model_;
  std::unique_ptr<Journal> journal_;
  std::vector<SiteRecord> sites_;
  std::vector<std::string> remarks_;
  WalkTimes times_;
  Json source_files_, record_;
};

}  // namespace bitloom

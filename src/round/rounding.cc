#include "round/rounding.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

/// Moments of a matrix's own: nothing is shared with the other readers of its input, and what its error costs is
/// predicted (round/predicted_kl).
void add_own_moments(const RoundingShape& shape, RoundingCost& cost) {
  const auto m = static_cast<double>(shape.rows), n = static_cast<double>(shape.cols);
  cost.flops += cost.shared_factor + 2 * m * n * (m + n);
  cost.shared_factor = 0;
  cost.bytes += 4 * (3 * shape.rows * shape.cols + std::max(shape.rows * shape.rows, shape.cols * shape.cols));
}

/// A method with its defaults, and with each option of choice set to each of its choices.
std::vector<Rounding> variants_of(const RoundingRow& row) {
  std::vector<Rounding> variants = {Rounding(row.defaults())};
  for (const Option& option : row.options) {
    for (size_t choice = 0; choice < option.choices.size(); ++choice) {
      AnyValue options = row.defaults();
      option.set(options, static_cast<double>(choice));
      variants.emplace_back(std::move(options));
    }
  }
  return variants;
}

}  // namespace

Rounding::Rounding() : Rounding(rounding_methods().front()->defaults()) {}

Rounding::Rounding(AnyValue options) : options_(std::move(options)) {
  for (const RoundingRow* row : rounding_methods()) {
    if (*row->type == options_.type()) row_ = row;
  }
  if (row_ == nullptr) fail(ErrorKind::kFailed, "a value of type {} is no method's options", options_.type().name());
}

Storage storage_by(const Rounding& rounding, Storage wanted) {
  const FrameStorage frame = wanted.side.frame;
  Storage storage = rounding.row().storage(rounding.options(), without_frame(std::move(wanted)));
  if (frame.present()) storage.side.frame = frame;  // rounds_onto: the method adds none
  return storage;
}

bool rounds_onto(const Rounding& rounding, const Storage& storage) {
  const Storage inside = without_frame(storage);
  if (!rounding.row().rounds_onto(rounding.options(), inside)) return false;
  return !storage.side.frame.present() || !rounding.row().storage(rounding.options(), inside).side.frame.present();
}

RoundingCost cost_of(const Rounding& rounding, const RoundingShape& shape) {
  RoundingShape inside = shape;
  inside.target = without_frame(shape.target);
  RoundingCost cost = rounding.row().cost(rounding.options(), inside);
  if (needs_gradients(needs_of(rounding))) add_own_moments(shape, cost);
  if (!shape.target.storage.side.frame.present()) return cost;
  cost.bytes += 4 * shape.rows * shape.cols;
  if (needs_of(rounding).any()) cost.shared_bytes += 8 * shape.cols * shape.cols;
  return cost;
}

std::optional<Rounding> find_rounding_without_data(const Storage& storage) {
  for (const RoundingRow* row : rounding_methods()) {
    for (Rounding& rounding : variants_of(*row)) {
      if (!needs_of(rounding).any() && rounds_onto(rounding, storage)) return std::move(rounding);
    }
  }
  return std::nullopt;
}

Rounding rounding_without_data(const Storage& storage) {
  if (std::optional<Rounding> rounding = find_rounding_without_data(storage)) return std::move(*rounding);
  misuse("no method chooses codes of {} without data", to_string(storage));
}

}  // namespace bitloom

#include "round/rounding.h"

#include "base/error.h"

namespace bitloom {

Rounding::Rounding() : Rounding(rounding_methods().front()->defaults()) {}

Rounding::Rounding(AnyValue options) : options_(std::move(options)) {
  for (const RoundingRow* row : rounding_methods()) {
    if (*row->type == options_.type()) row_ = row;
  }
  if (row_ == nullptr) fail(ErrorKind::kFailed, "a value of type {} is no method's options", options_.type().name());
}

Rounding rounding_without_data(const Storage& storage) {
  for (const RoundingRow* row : rounding_methods()) {
    Rounding rounding(row->defaults());
    if (!needs_of(rounding).any() && rounds_onto(rounding, storage)) return rounding;
  }
  misuse("no method chooses codes of {} without data", to_string(storage));
}

}  // namespace bitloom

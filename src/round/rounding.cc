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

}  // namespace bitloom

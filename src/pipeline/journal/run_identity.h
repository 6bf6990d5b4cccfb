#pragma once
// What a calibrated run is: everything that decides its bytes. The journal compares it with the run that it belongs to,
// ranks compare it with each other, the manifest records it.

#include "base/ranks.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/task/quantize_options.h"
#include "recipe/recipe.h"

namespace bitloom {

/// The manifest's "calibration": the data's own record, order, precision, seed, ranks.
Json record_of(const QuantizeOptions& options);

/// One flat object, names for people.
Json identity_of(const Checkpoint& source, const Json& source_files, const Recipe& recipe, const Json& record);

/// Error(kFailed), on every rank, that names the first difference between two ranks' identities.
void check_alike(const Json& identity, Ranks& ranks);

}  // namespace bitloom

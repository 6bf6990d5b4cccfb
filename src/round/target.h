#pragma once
// What a rounding aims at: a storage, and how its scales are searched. One text names both, since people choose them
// together: "int4-g128-mse" means storage int4-g128, search mse.

#include <string>
#include <string_view>
#include <vector>

#include "format/families/grid/grid_storage.h"
#include "format/storage.h"
#include "round/search.h"

namespace bitloom {

struct RoundingTarget {
  Storage storage;
  ScaleSearch search;
  bool operator==(const RoundingTarget&) const = default;
};

/// A storage (format/storage.h) followed by any of, in any order and mixed with the storage's own options:
///   -floor -ceil -rceil -even        E8M0 exponent selection; default -floor
///   -sminnormal                      smallest two-level scale 2^-6 instead of 2^-9
///   -m1 -pow2round -pow2floor -pow2mse -m2ceil -m2round -m2floor -m2mse
///   -mse -mseE -pP                   scale search by squared error; GPTQ's clip search with |error|^E (its own: 2.4);
///                                    P-th percentile; default: absmax
///   -tiesaway -tieszero              default: to even
/// parse_target(to_string(t)) == t. Error(kUsage) names the part, the allowed ones and the nearest spelling.
RoundingTarget parse_target(std::string_view text);
std::string to_string(const RoundingTarget& target);
/// The options above alone: "-rceil-mse", or "".
std::string to_string(const ScaleSearch& search);
/// What stands behind '-' for any of them, for messages.
std::vector<std::string> search_option_names();

/// What lies inside the frame (format/side/frame.h), if there is one.
Storage without_frame(Storage storage);
RoundingTarget without_frame(RoundingTarget target);

/// A target of the family "grid": what roundings onto scaled grids take.
struct GridTarget {
  GridStorage storage;
  ScaleSearch search;
  bool operator==(const GridTarget&) const = default;
};
/// Whether a storage is of the family "grid", without side terms.
bool is_scaled_grid(const Storage& storage);
/// The target as one of scaled grids. Error(kUsage) naming `name` and the storage for any other.
GridTarget grid_target(const RoundingTarget& target, const std::string& name);
GridTarget parse_grid_target(std::string_view text);
std::string to_string(const GridTarget& target);
/// Error(kUsage), quoting `text`, for a combination that means nothing: E8M0 scales with -m2, ...
void check_target(const GridTarget& target, std::string_view text);

}  // namespace bitloom

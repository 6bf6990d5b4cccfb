#pragma once
// Tables of which a name says the rule or asks for a fit, rather than listing levels.
//
//   "pow4[0.55]"      the power grid of PowerQuant (Yvinec et al., ICLR 2023; papers' learned-and-vector page, 4.1):
//                     level(k) = sign(k) (|k| / q)^(1/a),  k = -q .. q,  q = 2^(b-1) - 1,  a the exponent
//   "pow4"            its exponent is to be fitted to the weights: one for all matrices of a target; "pow4[role]": one
//   for
//                     all of one role ("q", "down"); "pow4[matrix]": one for each
//   "table4", ...     2^4 levels to be fitted to the weights, shared likewise
//
// What is to be fitted becomes "pow4[A]" or "table[A;B;...]" before a matrix is rounded (round/fitted/fit_format.h):
// files hold those alone. Until then a power grid has the exponent 1 and a table evenly spaced levels, so that sizes
// and costs are known.

#include <optional>
#include <string>
#include <string_view>

#include "format/table/table_format.h"

namespace bitloom {

/// Matrices that share a fit.
enum class FitScope { kModel, kRole, kMatrix };

/// What a format is to be fitted by.
struct FitRequest {
  bool power = false;  // the exponent of a power grid; else every level of a table
  int bits = 4;
  FitScope scope = FitScope::kModel;
  bool operator==(const FitRequest&) const = default;
};

inline constexpr int kMostFittedBits = 4;  // of a table: levels are integers of 8 bits
inline constexpr float kLeastExponent = 0.1f, kMostExponent = 2.0f;

/// "pow4[0.55]": 2^bits - 1 levels from -1 to 1; 2 <= bits <= 8, kLeastExponent <= exponent <= kMostExponent (assert).
TableFormat power_table(int bits, float exponent);
/// The exponent of a power grid; nullopt for any other format. 1 where it is to be fitted.
std::optional<float> exponent_of(const TableFormat& format);

/// nullopt where levels are known.
std::optional<FitRequest> fit_request(const TableFormat& format);

/// A format of the names above; nullopt for other text. Error(kUsage) for widths, exponents and scopes that there are
/// not.
std::optional<TableFormat> find_fitted_table(std::string_view text);

}  // namespace bitloom

#include "format/table/fitted_table.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr std::string_view kPower = "pow", kTable = "table";

struct ScopeWord {
  FitScope scope;
  std::string_view word;
};
constexpr ScopeWord kScopes[] = {{FitScope::kModel, ""}, {FitScope::kRole, "role"}, {FitScope::kMatrix, "matrix"}};

std::optional<FitScope> find_scope(std::string_view word) {
  for (const ScopeWord& row : kScopes) {
    if (row.word == word) return row.scope;
  }
  return std::nullopt;
}

/// "pow4[role]" in three.
struct Spelling {
  std::string_view kind, inside;  // inside the brackets; empty without
  int bits = 0;
};

/// Words that begin so and are not spelled so name no format.
std::optional<Spelling> read(std::string_view text) {
  for (const std::string_view kind : {kPower, kTable}) {
    if (!text.starts_with(kind)) continue;
    const std::string_view rest = text.substr(kind.size());
    if (rest.empty() || rest[0] < '0' || rest[0] > '9') return std::nullopt;
    if (rest.size() == 1) return Spelling{kind, "", rest[0] - '0'};
    if (rest.size() < 4 || rest[1] != '[' || rest.back() != ']') return std::nullopt;
    return Spelling{kind, rest.substr(2, rest.size() - 3), rest[0] - '0'};
  }
  return std::nullopt;
}

std::vector<float> power_levels(int bits, float exponent) {
  const int q = (1 << (bits - 1)) - 1;
  std::vector<float> levels;
  for (int k = -q; k <= q; ++k) {
    const double magnitude = std::pow(std::abs(k) / static_cast<double>(q), 1.0 / static_cast<double>(exponent));
    levels.push_back(static_cast<float>(k < 0 ? -magnitude : magnitude));
  }
  return levels;
}

/// As full-range integers lie, in units of the 127th part of the greatest.
std::vector<float> even_levels(int bits) {
  const int half = 1 << (bits - 1);
  std::vector<float> levels;
  for (int k = -half; k < half; ++k) levels.push_back(static_cast<float>(std::nearbyint(127.0 * k / half)));
  return levels;
}

TableFormat to_be_fitted(const FitRequest& fit) {
  std::string_view word;
  for (const ScopeWord& row : kScopes) {
    if (row.scope == fit.scope) word = row.word;
  }
  return {fmt::format("{}{}{}", fit.power ? kPower : kTable, fit.bits, word.empty() ? "" : fmt::format("[{}]", word)),
          fit.power ? power_levels(fit.bits, 1) : even_levels(fit.bits)};
}

}  // namespace

TableFormat power_table(int bits, float exponent) {
  assert(bits >= 2 && bits <= 8 && exponent >= kLeastExponent && exponent <= kMostExponent);
  return {fmt::format("{}{}[{}]", kPower, bits, exponent), power_levels(bits, exponent)};
}

std::optional<float> exponent_of(const TableFormat& format) {
  const auto spelling = read(format.name);
  if (!spelling || spelling->kind != kPower) return std::nullopt;
  return find_scope(spelling->inside) ? 1.0f : parse_number<float>(spelling->inside);
}

std::optional<FitRequest> fit_request(const TableFormat& format) {
  const auto spelling = read(format.name);
  if (!spelling) return std::nullopt;
  const auto scope = find_scope(spelling->inside);
  if (!scope) return std::nullopt;
  return FitRequest{spelling->kind == kPower, spelling->bits, *scope};
}

std::optional<TableFormat> find_fitted_table(std::string_view text) {
  const auto spelling = read(text);
  if (!spelling) return std::nullopt;
  const bool power = spelling->kind == kPower;
  const int most = power ? 8 : kMostFittedBits;
  if (spelling->bits < 2 || spelling->bits > most) {
    misuse("\"{}\": {} have 2 to {} bits, not {}", text, power ? "power grids" : "fitted tables", most, spelling->bits);
  }
  if (const auto scope = find_scope(spelling->inside)) return to_be_fitted({power, spelling->bits, *scope});
  if (!power) {
    misuse("\"{}\": a table of {} bits is fitted for one [matrix], for one [role], or without brackets for all", text,
           spelling->bits);
  }
  const auto exponent = parse_number<float>(spelling->inside);
  if (!exponent || !(*exponent >= kLeastExponent && *exponent <= kMostExponent)) {
    misuse(
        "\"{}\": between the brackets stands an exponent from {} to {}, or \"role\" or \"matrix\", for which one is "
        "fitted; found \"{}\"",
        text, kLeastExponent, kMostExponent, spelling->inside);
  }
  return power_table(spelling->bits, *exponent);
}

}  // namespace bitloom

// The text form of searches.
#include "round/target.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <optional>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"

namespace bitloom {
namespace {

/// What an option sets; two options of one slot in a text are a contradiction.
enum Slot { kMode, kFloorOf, kConstrain, kRange, kTie };

constexpr OptionWord<ScaleSearch> kWords[] = {
    {"floor", kMode, assign<&ScaleSearch::mx_mode, MxMode::kFloor>},
    {"ceil", kMode, assign<&ScaleSearch::mx_mode, MxMode::kCeil>},
    {"rceil", kMode, assign<&ScaleSearch::mx_mode, MxMode::kRceil>},
    {"even", kMode, assign<&ScaleSearch::mx_mode, MxMode::kEven>},
    {"sminnormal", kFloorOf, assign<&ScaleSearch::block_scale_floor, BlockScaleFloor::kNormal>},
    {"m1", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kM1>},
    {"pow2round", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kPow2Round>},
    {"pow2floor", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kPow2Floor>},
    {"pow2mse", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kPow2Mse>},
    {"m2ceil", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kM2Ceil>},
    {"m2round", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kM2Round>},
    {"m2floor", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kM2Floor>},
    {"m2mse", kConstrain, assign<&ScaleSearch::constraint, ScaleConstraint::kM2Mse>},
    {"tiesaway", kTie, assign<&ScaleSearch::ties, Ties::kAway>},
    {"tieszero", kTie, assign<&ScaleSearch::ties, Ties::kTowardZero>},
};

bool set_percentile(std::string_view text, ScaleSearch& search) {
  const auto percentile = parse_number<double>(text);
  if (!percentile || !(*percentile > 0 && *percentile <= 100)) return false;
  search.range.kind = RangeRule::Kind::kPercentile;
  search.range.percentile = *percentile;
  return true;
}

bool set_mse(std::string_view text, ScaleSearch& search) {
  search.range.kind = RangeRule::Kind::kLeastSquares;
  if (text.empty()) return true;
  const auto exponent = parse_number<double>(text);
  if (!exponent || !(*exponent >= 0.5 && *exponent <= 8)) return false;
  search.range.kind = RangeRule::Kind::kClip;
  search.range.clip_exponent = *exponent;
  return true;
}

constexpr OptionPrefix<ScaleSearch> kPrefixes[] = {
    {"mse", kRange, set_mse, "mse or mseE (exponent 0.5 to 8)"},
    {"p", kRange, set_percentile, "pP (a percentile above 0 up to 100)"},
};

std::vector<std::string> option_names(const Storage& storage) {
  std::vector<std::string> names = storage_option_names(storage);
  for (std::string& name : search_option_names()) names.push_back(std::move(name));
  return names;
}

std::string range_text(const RangeRule& range) {
  switch (range.kind) {
    case RangeRule::Kind::kAbsmax:
      return "";
    case RangeRule::Kind::kPercentile:
      return "-p" + fixed_text(range.percentile);
    case RangeRule::Kind::kLeastSquares:
      return "-mse";
    case RangeRule::Kind::kClip:
      return fmt::format("-mse{}", range.clip_exponent);
  }
  return "";
}

/// The word that says what differs from the default in one slot.
std::string search_word(const ScaleSearch& search, Slot slot) {
  return word_text<ScaleSearch>(kWords, slot, ScaleSearch{}, search);
}

}  // namespace

RoundingTarget parse_target(std::string_view text) {
  std::vector<std::string> others;
  RoundingTarget target{parse_storage(text, &others), {}};
  const std::vector<std::string> known = option_names(target.storage);
  OptionReader<ScaleSearch> reader(text, kWords, kPrefixes, known);
  for (const std::string& option : others) {
    if (!reader.read(option, target.search)) unknown_option(option, text, known);
  }
  if (const auto* grid = target.storage.base.get_if<GridStorage>()) {
    check_target({*grid, target.search}, text);
  } else if (!others.empty()) {
    misuse("\"{}\": \"-{}\" searches scales, and this storage has none", text, others[0]);
  }
  return target;
}

std::string to_string(const ScaleSearch& search) {
  std::string text;
  for (const Slot slot : {kMode, kFloorOf, kConstrain}) text += search_word(search, slot);
  return text + range_text(search.range) + search_word(search, kTie);
}

std::string to_string(const RoundingTarget& target) {
  return target.storage.base.to_string() + to_string(target.search) + to_string(target.storage.side);
}

std::vector<std::string> search_option_names() {
  std::vector<std::string> names = {"mse", "pP"};
  for (const auto& word : kWords) names.emplace_back(word.text);
  return names;
}

Storage without_frame(Storage storage) {
  storage.side.frame = FrameStorage{};
  return storage;
}

RoundingTarget without_frame(RoundingTarget target) {
  return {without_frame(std::move(target.storage)), target.search};
}

GridTarget parse_grid_target(std::string_view text) { return grid_target(parse_target(text), std::string(text)); }

bool is_scaled_grid(const Storage& storage) {
  return storage.base.get_if<GridStorage>() != nullptr && storage.side == SideTerms{};
}

GridTarget grid_target(const RoundingTarget& target, const std::string& name) {
  if (is_scaled_grid(target.storage)) return {target.storage.base.get<GridStorage>(), target.search};
  misuse("{}: {} is no scaled grid, and only those are rounded so", name, to_string(target.storage));
}

std::string to_string(const GridTarget& target) { return to_string(target.storage) + to_string(target.search); }

void check_target(const GridTarget& target, std::string_view text) {
  check_grid(target.storage, text);
  const ScaleType scale = target.storage.scale;
  const ScaleSearch& search = target.search;
  if (search.constraint != ScaleConstraint::kNone && !is_real(scale)) {
    misuse("\"{}\": a constraint (-m1, -m2..., -pow2...) is for scales in f32, f16 or bf16", text);
  }
  if (search.mx_mode != MxMode::kFloor && scale != ScaleType::kE8M0) {
    misuse("\"{}\": -ceil, -rceil and -even choose the exponent of an E8M0 scale; add -e8m0", text);
  }
  if (search.mx_mode == MxMode::kEven && std::holds_alternative<TableFormat>(target.storage.format)) {
    misuse("\"{}\": -even rounds to the format's mantissa, and a table has none; use -floor, -ceil or -rceil", text);
  }
  if (search.block_scale_floor != BlockScaleFloor::kSubnormal && scale != ScaleType::kE4M3TwoLevel) {
    misuse("\"{}\": -sminnormal is for two-level scales (nvfp4, -e4m3x)", text);
  }
}

}  // namespace bitloom

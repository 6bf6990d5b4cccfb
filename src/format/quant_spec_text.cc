// The text form of QuantSpec. One table of options serves reading, writing and the messages, so they cannot disagree.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "format/quant_spec.h"

namespace bitloom {
namespace {

using Kind = Granularity::Kind;

// ---- named schemes -------------------------------------------------------------------------------------------------

struct Scheme {
  std::string_view name, format;
  int64_t group;
  ScaleType scale;
};
constexpr Scheme kSchemes[] = {
    {"mxfp4", "e2m1", 32, ScaleType::kE8M0},          {"mxfp6e2m3", "e2m3", 32, ScaleType::kE8M0},
    {"mxfp6e3m2", "e3m2", 32, ScaleType::kE8M0},      {"mxfp8e4m3", "e4m3fn", 32, ScaleType::kE8M0},
    {"mxfp8e5m2", "e5m2-ieee", 32, ScaleType::kE8M0}, {"mxint8", "int8q6-narrow", 32, ScaleType::kE8M0},
    {"nvfp4", "e2m1", 16, ScaleType::kE4M3TwoLevel},
};

QuantSpec spec_of(const Scheme& scheme) {
  QuantSpec spec;
  spec.format = *find_format(scheme.format);
  spec.granularity = {Kind::kGroup, scheme.group, 0};
  spec.scale = scheme.scale;
  return spec;
}

QuantSpec spec_of(Format format) {
  QuantSpec spec;
  spec.scale = default_scale(format);
  spec.format = std::move(format);
  return spec;
}

// ---- options without a number --------------------------------------------------------------------------------------

/// What an option sets; two options of one slot in a text are a contradiction.
enum Slot { kGranularity, kZero, kNarrow, kScale, kMode, kFloorOf, kConstrain, kRange, kTie };

struct Word {
  std::string_view text;
  Slot slot;
  void (*set)(QuantSpec& spec);
};

template <auto kMember, auto kValue>
void assign(QuantSpec& spec) {
  spec.*kMember = kValue;
}

constexpr Word kWords[] = {
    {"row", kGranularity,
     [](QuantSpec& s) {
       s.granularity = {Kind::kRow, 0, 0};
     }},
    {"tensor", kGranularity,
     [](QuantSpec& s) {
       s.granularity = {Kind::kTensor, 0, 0};
     }},
    {"asym", kZero, assign<&QuantSpec::asymmetric, true>},
    {"f32", kScale, assign<&QuantSpec::scale, ScaleType::kF32>},
    {"f16", kScale, assign<&QuantSpec::scale, ScaleType::kF16>},
    {"bf16", kScale, assign<&QuantSpec::scale, ScaleType::kBF16>},
    {"e8m0", kScale, assign<&QuantSpec::scale, ScaleType::kE8M0>},
    {"e4m3x", kScale, assign<&QuantSpec::scale, ScaleType::kE4M3TwoLevel>},
    {"floor", kMode, assign<&QuantSpec::mx_mode, MxMode::kFloor>},
    {"ceil", kMode, assign<&QuantSpec::mx_mode, MxMode::kCeil>},
    {"rceil", kMode, assign<&QuantSpec::mx_mode, MxMode::kRceil>},
    {"even", kMode, assign<&QuantSpec::mx_mode, MxMode::kEven>},
    {"sminnormal", kFloorOf, assign<&QuantSpec::block_scale_floor, BlockScaleFloor::kNormal>},
    {"m1", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kM1>},
    {"pow2round", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kPow2Round>},
    {"pow2floor", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kPow2Floor>},
    {"pow2mse", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kPow2Mse>},
    {"m2ceil", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kM2Ceil>},
    {"m2round", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kM2Round>},
    {"m2floor", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kM2Floor>},
    {"m2mse", kConstrain, assign<&QuantSpec::constraint, ScaleConstraint::kM2Mse>},
    {"tiesaway", kTie, assign<&QuantSpec::ties, Ties::kAway>},
    {"tieszero", kTie, assign<&QuantSpec::ties, Ties::kTowardZero>},
};

// ---- options with numbers ------------------------------------------------------------------------------------------

bool set_group(std::string_view text, QuantSpec& spec) {
  const auto size = parse_number<int64_t>(text);
  if (!size || *size < 1) return false;
  spec.granularity = {Kind::kGroup, *size, 0};
  return true;
}

bool set_block(std::string_view text, QuantSpec& spec) {
  const size_t cross = text.find('x');
  if (cross == std::string_view::npos) return false;
  const auto rows = parse_number<int64_t>(text.substr(0, cross)), cols = parse_number<int64_t>(text.substr(cross + 1));
  if (!rows || !cols || *rows < 1 || *cols < 1) return false;
  spec.granularity = {Kind::kBlock, *cols, *rows};
  return true;
}

bool set_percentile(std::string_view text, QuantSpec& spec) {
  const auto percentile = parse_number<double>(text);
  if (!percentile || !(*percentile > 0 && *percentile <= 100)) return false;
  spec.range.kind = RangeRule::Kind::kPercentile;
  spec.range.percentile = *percentile;
  return true;
}

bool set_mse(std::string_view text, QuantSpec& spec) {
  const auto exponent = text.empty() ? std::optional(RangeRule{}.mse_exponent) : parse_number<double>(text);
  if (!exponent || !(*exponent >= 0.5 && *exponent <= 8)) return false;
  spec.range.kind = RangeRule::Kind::kMse;
  spec.range.mse_exponent = *exponent;
  return true;
}

struct Prefix {
  std::string_view text;
  Slot slot;
  bool (*set)(std::string_view rest, QuantSpec& spec);
  std::string_view shape;  // for messages
};
constexpr Prefix kPrefixes[] = {
    {"block", kGranularity, set_block, "blockRxC (two positive integers)"},
    {"mse", kRange, set_mse, "mse or mseE (exponent 0.5 to 8)"},
    {"g", kGranularity, set_group, "gN (a positive integer)"},
    {"p", kRange, set_percentile, "pP (a percentile above 0 up to 100)"},
};

// ---- reading -------------------------------------------------------------------------------------------------------

std::vector<std::string> word_names() {
  std::vector<std::string> names = {"narrow"};
  for (const Word& word : kWords) names.emplace_back(word.text);
  return names;
}

std::vector<std::string> option_names() {
  std::vector<std::string> names = {"gN", "blockRxC", "mse", "pP"};
  for (std::string& word : word_names()) names.push_back(std::move(word));
  return names;
}

/// The formats' and schemes' names, and what `base` would be if it only lacked the '-' behind one of them.
std::vector<std::string> base_candidates(std::string_view base) {
  std::vector<std::string> names = format_names();
  for (const std::string& scheme : named_schemes()) names.push_back(scheme);
  for (size_t i = names.size(); i-- > 0;) {
    if (!base.starts_with(names[i])) continue;
    std::string_view rest = base.substr(names[i].size());
    while (!rest.empty() && std::isalnum(static_cast<unsigned char>(rest.front())) == 0) rest.remove_prefix(1);
    names.push_back(fmt::format("{}-{}", names[i], rest));
  }
  return names;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  QuantSpec read() {
    std::vector<std::string> parts = split_parts();
    size_t used = read_base(parts);
    for (; used < parts.size(); ++used) read_option(parts[used]);
    check_spec(spec_, text_);
    return std::move(spec_);
  }

 private:
  /// At '-', except inside a table's brackets.
  std::vector<std::string> split_parts() const {
    const size_t bracket = text_.find(']');
    if (bracket == std::string_view::npos) return split(text_, '-');
    std::vector<std::string> parts = split(text_.substr(bracket + 1), '-');
    parts[0] = std::string(text_.substr(0, bracket + 1)) + parts[0];
    return parts;
  }

  /// The scheme or format: the longest run of parts that names one ("e5m2-ieee-g32"). Returns how many parts.
  size_t read_base(const std::vector<std::string>& parts) {
    for (const Scheme& scheme : kSchemes) {
      if (parts[0] != scheme.name) continue;
      spec_ = spec_of(scheme);
      return 1;
    }
    for (size_t count = std::min<size_t>(parts.size(), 3); count > 0; --count) {
      const std::string name =
          fmt::format("{}", fmt::join(parts.begin(), parts.begin() + static_cast<long>(count), "-"));
      if (auto format = find_format(name)) {
        if (name.ends_with("-narrow")) used_.push_back(kNarrow);
        spec_ = spec_of(*std::move(format));
        return count;
      }
    }
    misuse("unknown format \"{}\" in \"{}\"; formats are {}, and the schemes {}{}", parts[0], text_, format_spellings(),
           fmt::join(named_schemes(), ", "), did_you_mean(parts[0], base_candidates(parts[0])));
  }

  void read_option(const std::string& part) {
    if (part == "narrow") return set_narrow();
    for (const Word& word : kWords) {
      if (part != word.text) continue;
      occupy(word.slot, part);
      word.set(spec_);
      return;
    }
    for (const Prefix& prefix : kPrefixes) {
      if (!part.starts_with(prefix.text)) continue;
      if (!prefix.set(std::string_view(part).substr(prefix.text.size()), spec_)) {
        misuse("\"-{}\" in \"{}\" should be -{}{}", part, text_, prefix.shape, did_you_mean(part, word_names()));
      }
      return occupy(prefix.slot, part);
    }
    misuse("unknown option \"-{}\" in \"{}\"; options are -{}{}", part, text_, fmt::join(option_names(), " -"),
           did_you_mean(part, option_names()));
  }

  void set_narrow() {
    occupy(kNarrow, "narrow");
    auto* integer = std::get_if<IntFormat>(&spec_.format);
    if (integer == nullptr) misuse("\"-narrow\" in \"{}\" is for integers, not for {}", text_, name_of(spec_.format));
    integer->narrow = true;
  }

  void occupy(Slot slot, std::string_view part) {
    if (std::find(used_.begin(), used_.end(), slot) != used_.end()) {
      misuse("\"-{}\" in \"{}\" repeats or contradicts an earlier option", part, text_);
    }
    used_.push_back(slot);
  }

  std::string_view text_;
  QuantSpec spec_;
  std::vector<Slot> used_;
};

// ---- writing -------------------------------------------------------------------------------------------------------

std::string granularity_text(const Granularity& g) {
  switch (g.kind) {
    case Kind::kTensor:
      return "-tensor";
    case Kind::kRow:
      return "-row";
    case Kind::kGroup:
      return fmt::format("-g{}", g.group);
    case Kind::kBlock:
      return fmt::format("-block{}x{}", g.block_rows, g.group);
  }
  return "";
}

/// The shortest decimal that reads back, without an exponent, whose sign would be a '-'.
std::string fixed_text(double value) {
  char text[512];  // a double's least is 324 places behind the point
  return {text, std::to_chars(std::begin(text), std::end(text), value, std::chars_format::fixed).ptr};
}

std::string range_text(const RangeRule& range) {
  switch (range.kind) {
    case RangeRule::Kind::kAbsmax:
      return "";
    case RangeRule::Kind::kPercentile:
      return "-p" + fixed_text(range.percentile);
    case RangeRule::Kind::kMse:
      return range.mse_exponent == RangeRule{}.mse_exponent ? "-mse" : fmt::format("-mse{}", range.mse_exponent);
  }
  return "";
}

/// The words that turn `base` into `spec` in one slot: those that change something of the base and agree with spec.
std::string word_text(const QuantSpec& base, const QuantSpec& spec, Slot slot) {
  for (const Word& word : kWords) {
    if (word.slot != slot) continue;
    QuantSpec changed = base, same = spec;
    word.set(changed);
    word.set(same);
    if (same == spec && changed != base) return fmt::format("-{}", word.text);
  }
  return "";
}

}  // namespace

QuantSpec parse_spec(std::string_view text) { return Reader(text).read(); }

std::string to_string(const QuantSpec& spec) {
  QuantSpec base = spec_of(spec.format);
  std::string text = name_of(spec.format) + granularity_text(spec.granularity);
  for (const Scheme& scheme : kSchemes) {
    const QuantSpec candidate = spec_of(scheme);
    if (candidate.format != spec.format || candidate.granularity != spec.granularity || candidate.scale != spec.scale)
      continue;
    base = candidate;
    text = scheme.name;
  }
  for (const Slot slot : {kZero, kScale, kMode, kFloorOf, kConstrain}) text += word_text(base, spec, slot);
  return text + range_text(spec.range) + word_text(base, spec, kTie);
}

std::vector<std::string> named_schemes() {
  std::vector<std::string> names;
  for (const Scheme& scheme : kSchemes) names.emplace_back(scheme.name);
  return names;
}

void check_spec(const QuantSpec& spec, std::string_view text) {
  const Granularity& g = spec.granularity;
  if ((g.kind == Kind::kGroup || g.kind == Kind::kBlock) && g.group < 1)
    misuse("\"{}\": groups of {} columns", text, g.group);
  if (g.kind == Kind::kBlock && g.block_rows < 1) misuse("\"{}\": blocks of {} rows", text, g.block_rows);
  const auto* integer = std::get_if<IntFormat>(&spec.format);
  const bool real = spec.scale != ScaleType::kE8M0 && spec.scale != ScaleType::kE4M3TwoLevel;
  if (spec.asymmetric && (integer == nullptr || integer->narrow || integer->fraction != 0)) {
    misuse("\"-asym\" in \"{}\" is for full-range integers (int2..int8), not for {}", text, name_of(spec.format));
  }
  if (spec.asymmetric && !real) misuse("\"-asym\" in \"{}\" needs a scale in f32, f16 or bf16", text);
  if (spec.constraint != ScaleConstraint::kNone && !real) {
    misuse("\"{}\": a constraint (-m1, -m2..., -pow2...) is for scales in f32, f16 or bf16", text);
  }
  if (spec.mx_mode != MxMode::kFloor && spec.scale != ScaleType::kE8M0) {
    misuse("\"{}\": -ceil, -rceil and -even choose the exponent of an E8M0 scale; add -e8m0", text);
  }
  if (spec.mx_mode == MxMode::kEven && std::holds_alternative<TableFormat>(spec.format)) {
    misuse("\"{}\": -even rounds to the format's mantissa, and a table has none; use -floor, -ceil or -rceil", text);
  }
  if (spec.block_scale_floor != BlockScaleFloor::kSubnormal && spec.scale != ScaleType::kE4M3TwoLevel) {
    misuse("\"{}\": -sminnormal is for two-level scales (nvfp4, -e4m3x)", text);
  }
}

}  // namespace bitloom

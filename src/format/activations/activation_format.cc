#include "format/activations/activation_format.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/hadamard/kronecker_hadamard.h"
#include "base/text/text.h"
#include "format/families/grid/grid_storage.h"
#include "format/named_format.h"
#include "format/option_words.h"
#include "format/table/fitted_table.h"

namespace bitloom {
namespace {

using Who = ActivationFormat::Granularity;
using Kind = ActivationRange::Kind;

// ---- options -------------------------------------------------------------------------------------------------------

/// What an option sets; two options of one slot in a text are a contradiction.
enum Slot { kSharers, kZero, kScale, kMode, kRange, kShift, kClip, kRotation, kSeed, kMoves };

template <Who kWho>
void share(ActivationFormat& format) {
  format.granularity = kWho;
  format.group = 0;
}
template <Kind kKind>
void find_range(ActivationFormat& format) {
  format.range = {.kind = kKind};
}

constexpr OptionWord<ActivationFormat> kWords[] = {
    {"token", kSharers, share<Who::kToken>},
    {"tensor", kSharers, share<Who::kTensor>},
    {"asym", kZero, assign<&ActivationFormat::asymmetric, true>},
    {"e8m0", kScale, assign<&ActivationFormat::scale, ScaleType::kE8M0>},
    {"e4m3x", kScale, assign<&ActivationFormat::scale, ScaleType::kE4M3TwoLevel>},
    {"floor", kMode, assign<&ActivationFormat::mx_mode, MxMode::kFloor>},
    {"ceil", kMode, assign<&ActivationFormat::mx_mode, MxMode::kCeil>},
    {"rceil", kMode, assign<&ActivationFormat::mx_mode, MxMode::kRceil>},
    {"even", kMode, assign<&ActivationFormat::mx_mode, MxMode::kEven>},
    {"absmax", kRange, find_range<Kind::kAbsmax>},
    {"mse", kRange, find_range<Kind::kMse>},
    {"kl", kRange, find_range<Kind::kKl>},
    {"output", kRange, find_range<Kind::kOutput>},
    {"joint", kRange, find_range<Kind::kJoint>},
    {"shift", kShift, assign<&ActivationFormat::shifted, true>},
};

bool set_group(std::string_view text, ActivationFormat& format) {
  const auto size = parse_number<int64_t>(text);
  if (!size || *size < 1) return false;
  format.granularity = Who::kGroup;
  format.group = *size;
  return true;
}

bool set_percentile(std::string_view text, ActivationFormat& format) {
  const auto percent = parse_number<double>(text);
  if (!percent || !(*percent > 50 && *percent <= 100)) return false;
  format.range = {.kind = Kind::kPercentile, .percentile = *percent};
  return true;
}

/// "[3.25]", "[-0.5;3.25]"
bool set_fixed(std::string_view text, ActivationFormat& format) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return false;
  std::vector<float> ends;
  for (const std::string& word : split(text.substr(1, text.size() - 2), ';')) {
    const auto end = parse_number<float>(word);
    if (!end || !std::isfinite(*end)) return false;
    ends.push_back(*end);
  }
  if (ends.empty() || ends.size() > 2) return false;
  // One number: whether the format has room for another is known at the end only.
  format.range = {.kind = Kind::kFixed, .low = ends.size() == 2 ? ends[0] : -ends[0], .high = ends.back()};
  return true;
}

constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuv";

/// "[0012a]"
bool set_shifts(std::string_view text, ActivationFormat& format) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  for (const char c : text.substr(1, text.size() - 2)) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return false;
    format.shifts.push_back(static_cast<uint8_t>(digit));
  }
  return format.shifted = true;
}

std::string shifts_text(const ActivationFormat& format) {
  std::string text;
  for (const uint8_t shift : format.shifts) text += kDigits[shift];
  return text;
}

bool set_clip(std::string_view text, ActivationFormat& format) {
  const auto ratio = parse_number<float>(text);
  if (!ratio || !(*ratio >= 0.1f && *ratio <= 1)) return false;
  format.clip = *ratio;
  return true;
}

constexpr std::string_view kWholeWord = "full";

bool set_rotation(std::string_view text, ActivationFormat& format) {
  if (text == kWholeWord) {
    format.rotation = kWholeWidth;
    return true;
  }
  const auto block = parse_number<int64_t>(text);
  if (!block || *block < 2 || *block > 4096 || !std::has_single_bit(static_cast<uint64_t>(*block))) return false;
  format.rotation = *block;
  return true;
}

bool set_seed(std::string_view text, ActivationFormat& format) {
  const auto seed = parse_number<uint64_t>(text);
  if (!seed) return false;
  format.seed = *seed;
  return true;
}

/// "[12>7=3;40>7=3]"
bool set_moves(std::string_view text, ActivationFormat& format) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  return parse_moves(text.substr(1, text.size() - 2), format.moves);
}

bool set_staggered(std::string_view text, ActivationFormat& format) {
  return format.staggered = set_moves(text, format);
}

constexpr OptionPrefix<ActivationFormat> kPrefixes[] = {
    {"g", kSharers, set_group, "gN (a positive integer)"},
    {"at", kRange, set_fixed, "at[HIGH] or at[LOW;HIGH] (finite numbers)"},
    {"p", kRange, set_percentile, "pP (above 50 to 100)"},
    {"shift", kShift, set_shifts, "shift or shift[DIGITS] (a digit for each channel, 0 to 9 and a to v)"},
    {"clip", kClip, set_clip, "clipR (from 0.1 to 1)"},
    {"had", kRotation, set_rotation, "hadN (a power of two from 2 to 4096, or full)"},
    {"seed", kSeed, set_seed, "seedS (an integer)"},
    {"reassembled", kMoves, set_moves,
     "reassembled[MOVES] (12>7=3;40>7=3: a channel's slot, what it joins, what it holds)"},
    {"staggered", kMoves, set_staggered, "staggered[MOVES] (as reassembled[MOVES])"},
};

std::vector<std::string> option_names() {
  std::vector<std::string> names;
  for (const auto& word : kWords) names.emplace_back(word.text);
  for (const std::string_view shape : {"gN", "pP", "at[HIGH]", "clipR", "hadN", "seedS"}) names.emplace_back(shape);
  return names;
}

// ---- reading -------------------------------------------------------------------------------------------------------

/// At '-', except inside brackets: levels of a table and ends of a range may be negative.
std::vector<std::string> split_parts(std::string_view text) {
  std::vector<std::string> parts(1);
  bool inside = false;
  for (const char c : text) {
    if (c == '[' || c == ']') inside = c == '[';
    if (c == '-' && !inside) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

class Reader {
 public:
  explicit Reader(std::string_view text)
      : text_(text), parts_(split_parts(text)), options_(text, kWords, kPrefixes, option_names()) {}

  ActivationFormat read() {
    for (size_t used = read_base(); used < parts_.size(); ++used) {
      if (options_.read(parts_[used], format_)) continue;
      misuse("unknown option \"-{}\" in the activation format \"{}\"; options are -{}{}", parts_[used], text_,
             fmt::join(option_names(), " -"), did_you_mean(parts_[used], option_names()));
    }
    if (!scheme_ && std::none_of(parts_.begin() + 1, parts_.end(), says_who)) {
      misuse("the activation format \"{}\" does not say who shares a scale; options are -token -tensor -gN", text_);
    }
    check();
    return std::move(format_);
  }

 private:
  static bool says_who(const std::string& part) {
    return part == "token" || part == "tensor" || (part.starts_with('g') && part.size() > 1);
  }

  /// The scheme or format: the longest run of parts that names one. Returns how many parts.
  size_t read_base() {
    const std::vector<std::string> schemes = named_schemes();
    if (std::find(schemes.begin(), schemes.end(), parts_[0]) != schemes.end()) {
      const GridStorage scheme = parse_grid(parts_[0]);
      format_.format = scheme.format, format_.scale = scheme.scale;
      format_.granularity = Who::kGroup, format_.group = scheme.granularity.group;
      options_.take(kSharers, parts_[0]), options_.take(kScale, parts_[0]);
      scheme_ = true;
      return 1;
    }
    const size_t most = parts_[0].find('[') == std::string::npos ? 3 : 1;  // a table's name is one part
    for (size_t count = std::min(parts_.size(), most); count > 0; --count) {
      const auto end = parts_.begin() + static_cast<std::ptrdiff_t>(count);
      if (auto format = find_format(fmt::format("{}", fmt::join(parts_.begin(), end, "-")))) {
        format_.format = *std::move(format);
        return count;
      }
    }
    if (const std::string about = about_no_exponent(parts_[0]); !about.empty()) {
      misuse("{} (in the activation format \"{}\")", about, text_);
    }
    std::vector<std::string> known = format_names();
    known.insert(known.end(), schemes.begin(), schemes.end());
    misuse("unknown format \"{}\" in the activation format \"{}\"; formats are {}, and the schemes {}{}", parts_[0],
           text_, format_spellings(), fmt::join(schemes, ", "), did_you_mean(parts_[0], known));
  }

  /// What means nothing.
  void check() const {
    if (const auto* table = std::get_if<TableFormat>(&format_.format); table != nullptr && fit_request(*table)) {
      misuse("\"{}\": levels are fitted to weights alone; of what is read a power grid says its exponent, as pow4[0.6]",
             text_);
    }
    const auto* integer = std::get_if<IntFormat>(&format_.format);
    const bool blocks = format_.scale != ScaleType::kF32;
    if (format_.asymmetric && (integer == nullptr || integer->narrow || integer->fraction != 0 || blocks)) {
      misuse("\"-asym\" in \"{}\" is for full-range integers (int2..int8) with fp32 scales", text_);
    }
    if (blocks && format_.granularity != Who::kGroup) {
      misuse("\"{}\": scales in e8m0 or e4m3x are of groups: -gN", text_);
    }
    if (format_.mx_mode != MxMode::kFloor && format_.scale != ScaleType::kE8M0) {
      misuse("\"{}\": -ceil, -rceil and -even are about scales in e8m0", text_);
    }
    if (format_.seed != 0 && format_.rotation == 0) misuse("\"{}\": -seedS is that of a rotation: -hadN", text_);
    if (format_.clip != 1 && (format_.range.kind != Kind::kDynamic || blocks)) {
      misuse("\"{}\": -clipR is of ranges that are those of the very values, with scales in fp32; -pP clips others",
             text_);
    }
    if (format_.rotation != 0 && format_.range.is_calibrated()) {
      misuse("\"{}\": ranges are found in values that are not rotated; leave it out, or say which it is: -at", text_);
    }
    if (format_.range.kind != Kind::kDynamic) check_range();
    check_shifts();
    check_moves();
  }

  void check_moves() const {
    if (format_.moves.empty()) return;
    if (format_.rotation != 0 || format_.shifted || format_.range.is_calibrated()) {
      misuse("\"{}\": channels that are moved go with ranges that are known, and without -had and -shift", text_);
    }
    if (format_.staggered && !std::holds_alternative<IntFormat>(format_.format)) {
      misuse("\"{}\": -staggered is of integers, whose levels lie one step apart; -reassembled is of others", text_);
    }
    if (const std::string reason = bad_moves(format_.moves, 0); !reason.empty()) misuse("\"{}\": {}", text_, reason);
  }

  /// Ranges by outputs, and shifts: of minifloats.
  void check_shifts() const {
    const auto* minifloat = std::get_if<MinifloatFormat>(&format_.format);
    const bool by_output = format_.range.is_by_output(), plain = format_.scale == ScaleType::kF32;
    if ((by_output || format_.shifted) && !(minifloat != nullptr && plain)) {
      misuse("\"{}\": -output, -joint and -shift are of formats with exponent bits (eXmY) whose scales are in fp32",
             text_);
    }
    if (format_.range.kind == Kind::kJoint && minifloat->reserve != Reserve::kNone) {
      misuse("\"{}\": -joint chooses among formats that reserve no codes, such as {}", text_,
             name_of(MinifloatFormat{minifloat->exponent, minifloat->mantissa,
                                     usual_bias(minifloat->exponent, Reserve::kNone), Reserve::kNone}));
    }
    if (!format_.shifted) return;
    if (format_.rotation != 0) misuse("\"{}\": -shift is of channels, which -had mixes; leave one out", text_);
    if (format_.shifts.empty() ? !by_output : format_.range.kind != Kind::kFixed) {
      misuse("\"{}\": -shift is found with -output or -joint, and given as -shift[DIGITS] with -at[HIGH]", text_);
    }
    const int most = (1 << minifloat->exponent) - 1;
    for (const uint8_t shift : format_.shifts) {
      if (shift > most) misuse("\"{}\": a shift of {}; {} goes up to {}", text_, shift, name_of(format_.format), most);
    }
  }

  void check_range() const {
    const bool one_scale = format_.granularity == Who::kTensor || format_.scale == ScaleType::kE4M3TwoLevel;
    if (!one_scale) {
      misuse("\"{}\": a range found beforehand is one for all tokens: -tensor, or -e4m3x for its outer scale", text_);
    }
    const bool by_error = format_.range.kind == Kind::kMse || format_.range.kind == Kind::kKl;
    if (by_error && format_.scale == ScaleType::kE4M3TwoLevel) {
      misuse("\"{}\": the outer one of two scales is found by -absmax or -pP; groups' errors do not follow from it",
             text_);
    }
    if (format_.range.kind != Kind::kFixed) return;
    const auto [kind, percentile, low, high] = format_.range;
    const std::string_view from = text_.substr(text_.find("-at["));
    const bool both = from.substr(0, from.find(']')).find(';') != std::string_view::npos;
    if (both != format_.asymmetric) {
      misuse("\"{}\": a range is at[LOW;HIGH] with -asym, and at[HIGH] without", text_);
    }
    if (!(low <= 0 && high >= 0)) misuse("\"{}\": the range from {} to {} does not hold 0", text_, low, high);
    const float step = scale_of_range(format_, low, high).step;
    if (!std::isnormal(step)) {
      misuse("\"{}\": the range from {} to {} has the scale {}; a positive normal number is needed", text_, low, high,
             step);
    }
  }

  std::string_view text_;
  std::vector<std::string> parts_;
  OptionReader<ActivationFormat> options_;
  ActivationFormat format_;
  bool scheme_ = false;
};

// ---- writing -------------------------------------------------------------------------------------------------------

std::string who_text(const ActivationFormat& format) {
  switch (format.granularity) {
    case Who::kTensor:
      return "-tensor";
    case Who::kToken:
      return "-token";
    case Who::kGroup:
      break;
  }
  return fmt::format("-g{}", format.group);
}

/// What stands in the brackets of a fixed range, and of shifts.
std::string text_of(const ActivationFormat& format, const std::string& ends, const std::string& shifts) {
  std::string text = name_of(format.format) + (format.asymmetric ? "-asym" : "") + who_text(format);
  if (format.scale != ScaleType::kF32) {
    GridStorage blocks;
    blocks.format = format.format, blocks.scale = format.scale;
    blocks.granularity = {Granularity::Kind::kGroup, format.group, 0};
    text = to_string(blocks);
  }
  ActivationFormat base = format;
  base.mx_mode = MxMode::kFloor, base.range = {}, base.shifted = false;
  for (const Slot slot : {kMode, kRange}) text += word_text<ActivationFormat>(kWords, slot, base, format);
  if (format.range.kind == Kind::kPercentile) text += fmt::format("-p{}", format.range.percentile);
  if (format.range.kind == Kind::kFixed) text += fmt::format("-at[{}]", ends);
  if (format.shifted) text += format.shifts.empty() ? "-shift" : fmt::format("-shift[{}]", shifts);
  if (format.clip != 1) text += fmt::format("-clip{}", format.clip);
  if (format.rotation == kWholeWidth) text += fmt::format("-had{}", kWholeWord);
  if (format.rotation != 0 && format.rotation != kWholeWidth) text += fmt::format("-had{}", format.rotation);
  if (format.seed != 0) text += fmt::format("-seed{}", format.seed);
  return text;
}

}  // namespace

ActivationFormat parse_activation_format(std::string_view text) { return Reader(text).read(); }

std::string to_string(const ActivationFormat& format) {
  const ActivationRange& range = format.range;
  const std::string text =
      text_of(format, format.asymmetric ? fmt::format("{};{}", range.low, range.high) : fmt::to_string(range.high),
              shifts_text(format));
  if (format.moves.empty()) return text;
  return fmt::format("{}-{}[{}]", text, format.staggered ? "staggered" : "reassembled", to_string(format.moves));
}

std::string kind_text(const ActivationFormat& format) { return text_of(format, "...", "..."); }

ActivationFormat with_fixed_range(ActivationFormat format, float low, float high) {
  format.range = {.kind = Kind::kFixed, .low = format.asymmetric ? low : -high, .high = high};
  return format;
}

ActivationFormat with_dynamic_range(ActivationFormat format) {
  format.range = {};
  format.shifted = false, format.shifts.clear();
  if (format.granularity == Who::kTensor) format.granularity = Who::kToken;
  return format;
}

bool may_come_of(const ActivationFormat& rule, const ActivationFormat& found) {
  if (found.range.is_calibrated()) return false;
  ActivationFormat a = with_dynamic_range(rule), b = with_dynamic_range(found);
  if (rule.range.kind == Kind::kJoint && bits_of(a.format) == bits_of(b.format)) a.format = b.format;
  return a == b;
}

ActivationScale scale_of_range(const ActivationFormat& format, float low, float high) {
  const float largest = limits_of(format.format).max;
  if (format.scale == ScaleType::kE4M3TwoLevel) {
    return {high > 0 ? round_tensor_scale(high / (largest * kMaxBlockScale), largest) : 0.0f, 0};
  }
  if (!format.asymmetric) return {high / largest, 0};
  const auto top = static_cast<double>((1 << bits_of(format.format)) - 1);
  const auto step = static_cast<float>((static_cast<double>(high) - static_cast<double>(low)) / top);
  return {step, step > 0 ? std::min(std::nearbyint(-low / step), static_cast<float>(top)) : 0.0f};
}

}  // namespace bitloom

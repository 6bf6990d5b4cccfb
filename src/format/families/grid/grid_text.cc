// The text form of GridStorage.
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
#include "base/text/text.h"
#include "format/families/grid/grid_storage.h"
#include "format/named_format.h"
#include "format/option_words.h"

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

GridStorage storage_of(const Scheme& scheme) {
  GridStorage storage;
  storage.format = *find_format(scheme.format);
  storage.granularity = {Kind::kGroup, scheme.group, 0};
  storage.scale = scheme.scale;
  return storage;
}

GridStorage storage_of(Format format) {
  GridStorage storage;
  storage.scale = default_scale(format);
  storage.format = std::move(format);
  return storage;
}

// ---- options without a number --------------------------------------------------------------------------------------

/// What an option sets; two options of one slot in a text are a contradiction.
enum Slot { kGranularity, kZero, kNarrow, kScale };

constexpr OptionWord<GridStorage> kWords[] = {
    {"row", kGranularity,
     [](GridStorage& s) {
       s.granularity = {Kind::kRow, 0, 0};
     }},
    {"tensor", kGranularity,
     [](GridStorage& s) {
       s.granularity = {Kind::kTensor, 0, 0};
     }},
    {"asym", kZero, assign<&GridStorage::asymmetric, true>},
    {"f32", kScale, assign<&GridStorage::scale, ScaleType::kF32>},
    {"f16", kScale, assign<&GridStorage::scale, ScaleType::kF16>},
    {"bf16", kScale, assign<&GridStorage::scale, ScaleType::kBF16>},
    {"e8m0", kScale, assign<&GridStorage::scale, ScaleType::kE8M0>},
    {"e4m3x", kScale, assign<&GridStorage::scale, ScaleType::kE4M3TwoLevel>},
};

// ---- options with numbers ------------------------------------------------------------------------------------------

bool set_group(std::string_view text, GridStorage& storage) {
  const auto size = parse_number<int64_t>(text);
  if (!size || *size < 1) return false;
  storage.granularity = {Kind::kGroup, *size, 0};
  return true;
}

bool set_block(std::string_view text, GridStorage& storage) {
  const size_t cross = text.find('x');
  if (cross == std::string_view::npos) return false;
  const auto rows = parse_number<int64_t>(text.substr(0, cross)), cols = parse_number<int64_t>(text.substr(cross + 1));
  if (!rows || !cols || *rows < 1 || *cols < 1) return false;
  storage.granularity = {Kind::kBlock, *cols, *rows};
  return true;
}

constexpr OptionPrefix<GridStorage> kPrefixes[] = {
    {"block", kGranularity, set_block, "blockRxC (two positive integers)"},
    {"g", kGranularity, set_group, "gN (a positive integer)"},
};

// ---- reading -------------------------------------------------------------------------------------------------------

std::vector<std::string> word_names() {
  std::vector<std::string> names = {"narrow"};
  for (const auto& word : kWords) names.emplace_back(word.text);
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
  Reader(std::string_view text, std::vector<std::string>* others)
      : text_(text), others_(others), options_(text, kWords, kPrefixes, word_names()) {}

  GridStorage read() {
    std::vector<std::string> parts = split_parts();
    size_t used = read_base(parts);
    for (; used < parts.size(); ++used) read_option(parts[used]);
    check_grid(storage_, text_);
    return std::move(storage_);
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
      storage_ = storage_of(scheme);
      return 1;
    }
    for (size_t count = std::min<size_t>(parts.size(), 3); count > 0; --count) {
      const std::string name =
          fmt::format("{}", fmt::join(parts.begin(), parts.begin() + static_cast<long>(count), "-"));
      if (auto format = find_format(name)) {
        if (name.ends_with("-narrow")) options_.take(kNarrow, "narrow");
        storage_ = storage_of(*std::move(format));
        return count;
      }
    }
    if (const std::string about = about_no_exponent(parts[0]); !about.empty()) misuse("{} (in \"{}\")", about, text_);
    misuse("unknown format \"{}\" in \"{}\"; formats are {}, and the schemes {}{}", parts[0], text_, format_spellings(),
           fmt::join(named_schemes(), ", "), did_you_mean(parts[0], base_candidates(parts[0])));
  }

  void read_option(const std::string& part) {
    if (part == "narrow") return set_narrow();
    if (options_.read(part, storage_)) return;
    if (others_ != nullptr) return others_->push_back(part);
    unknown_option(part, text_, grid_option_names());
  }

  void set_narrow() {
    options_.take(kNarrow, "narrow");
    auto* integer = std::get_if<IntFormat>(&storage_.format);
    if (integer == nullptr)
      misuse("\"-narrow\" in \"{}\" is for integers, not for {}", text_, name_of(storage_.format));
    integer->narrow = true;
  }

  std::string_view text_;
  std::vector<std::string>* others_;
  OptionReader<GridStorage> options_;
  GridStorage storage_;
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

}  // namespace

GridStorage parse_grid(std::string_view text, std::vector<std::string>* others) { return Reader(text, others).read(); }

std::vector<std::string> grid_option_names() {
  std::vector<std::string> names = {"gN", "blockRxC"};
  for (std::string& word : word_names()) names.push_back(std::move(word));
  return names;
}

std::string to_string(const GridStorage& storage) {
  GridStorage base = storage_of(storage.format);
  std::string text = name_of(storage.format) + granularity_text(storage.granularity);
  for (const Scheme& scheme : kSchemes) {
    const GridStorage candidate = storage_of(scheme);
    if (candidate.format != storage.format || candidate.granularity != storage.granularity ||
        candidate.scale != storage.scale)
      continue;
    base = candidate;
    text = scheme.name;
  }
  for (const Slot slot : {kZero, kScale}) text += word_text<GridStorage>(kWords, slot, base, storage);
  return text;
}

std::vector<std::string> named_schemes() {
  std::vector<std::string> names;
  for (const Scheme& scheme : kSchemes) names.emplace_back(scheme.name);
  return names;
}

void check_grid(const GridStorage& storage, std::string_view text) {
  const Granularity& g = storage.granularity;
  if ((g.kind == Kind::kGroup || g.kind == Kind::kBlock) && g.group < 1)
    misuse("\"{}\": groups of {} columns", text, g.group);
  if (g.kind == Kind::kBlock && g.block_rows < 1) misuse("\"{}\": blocks of {} rows", text, g.block_rows);
  const auto* integer = std::get_if<IntFormat>(&storage.format);
  if (storage.asymmetric && (integer == nullptr || integer->narrow || integer->fraction != 0)) {
    misuse("\"-asym\" in \"{}\" is for full-range integers (int2..int8), not for {}", text, name_of(storage.format));
  }
  if (storage.asymmetric && !is_real(storage.scale))
    misuse("\"-asym\" in \"{}\" needs a scale in f32, f16 or bf16", text);
}

}  // namespace bitloom

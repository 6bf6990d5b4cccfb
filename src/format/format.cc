#include "format/format.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace bitloom {
namespace {

/// What bitloom asks of a family.
struct FormatRow {
  std::string_view family, spelling;
  std::optional<Format> (*find)(std::string_view text);
  std::string (*name)(const Format& format);
  std::string (*note)(const Format& format);
  std::vector<std::string> (*examples)();
  int (*bits)(const Format& format);
  Grid (*grid)(const Format& format);
  FormatLimits (*limits)(const Format& format);
  std::unique_ptr<const ArrayEncoder> (*arithmetic)(const Format& format);
};

template <typename Codec>
const typename Codec::Value& value_of(const Format& format) {
  return std::get<typename Codec::Value>(format);
}

template <typename Codec>
std::optional<Format> find_in(std::string_view text) {
  if (auto value = Codec::find(text)) return Format(*std::move(value));
  return std::nullopt;
}

template <typename Codec>
constexpr FormatRow row() {
  return {Codec::kFamily,
          Codec::kSpelling,
          find_in<Codec>,
          [](const Format& f) { return Codec::name(value_of<Codec>(f)); },
          [](const Format& f) { return Codec::note(value_of<Codec>(f)); },
          Codec::examples,
          [](const Format& f) { return Codec::bits(value_of<Codec>(f)); },
          [](const Format& f) { return Codec::grid(value_of<Codec>(f)); },
          [](const Format& f) { return Codec::limits(value_of<Codec>(f)); },
          [](const Format& f) { return Codec::arithmetic(value_of<Codec>(f)); }};
}

// The list of families, in the order of the variant.
constexpr FormatRow kFamilies[] = {
    row<IntCodec>(),
    row<MinifloatCodec>(),
    row<TableCodec>(),
};
static_assert(std::size(kFamilies) == std::variant_size_v<Format>);

const FormatRow& row_of(const Format& format) { return kFamilies[format.index()]; }

}  // namespace

int bits_of(const Format& format) { return row_of(format).bits(format); }
Grid grid_of(const Format& format) { return row_of(format).grid(format); }
FormatLimits limits_of(const Format& format) { return row_of(format).limits(format); }
std::string_view family_of(const Format& format) { return row_of(format).family; }
std::string name_of(const Format& format) { return row_of(format).name(format); }
std::string note_on(const Format& format) { return row_of(format).note(format); }

std::optional<Format> find_format(std::string_view text) {
  for (const FormatRow& family : kFamilies) {
    if (auto format = family.find(text)) return format;
  }
  return std::nullopt;
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const FormatRow& family : kFamilies) {
    for (std::string& name : family.examples()) names.push_back(std::move(name));
  }
  return names;
}

std::string format_spellings() {
  std::string text;
  for (const FormatRow& family : kFamilies) text += fmt::format("{}{}", text.empty() ? "" : ", ", family.spelling);
  return text;
}

std::unique_ptr<const ArrayEncoder> make_encoder(const Format& format, Ties ties) {
  if (ties == Ties::kEven) {
    if (auto encoder = row_of(format).arithmetic(format)) return encoder;
  }
  return make_search_encoder(grid_of(format), ties);
}

}  // namespace bitloom

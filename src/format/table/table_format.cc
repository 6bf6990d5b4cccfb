#include "format/table/table_format.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/text/text.h"
#include "format/table/fitted_table.h"

namespace bitloom {
namespace {

constexpr std::string_view kOpen = "table[";

// QLoRA's normal float: quantiles of N(0, 1), normalised to [-1, 1], with an exact zero (Dettmers et al. 2023, appendix
// E).
constexpr float kNf4[] = {-1.0f,
                          -0.6961928009986877f,
                          -0.5250730514526367f,
                          -0.39491748809814453f,
                          -0.28444138169288635f,
                          -0.18477343022823334f,
                          -0.09105003625154495f,
                          0.0f,
                          0.07958029955625534f,
                          0.16093020141124725f,
                          0.24611230194568634f,
                          0.33791524171829224f,
                          0.44070982933044434f,
                          0.5626170039176941f,
                          0.7229568362236023f,
                          1.0f};

// bitsandbytes' FP4: {0, 1/16, 2, 3, 4, 6, 8, 12} / 12 and negatives.
constexpr float kFp4Bnb[] = {-1.0f,      -8.0f / 12,    -6.0f / 12, -4.0f / 12,   -3.0f / 12,
                             -2.0f / 12, -0.0625f / 12, 0.0f,       0.0625f / 12, 2.0f / 12,
                             3.0f / 12,  4.0f / 12,     6.0f / 12,  8.0f / 12,    1.0f};

// llama.cpp's kvalues_iq4nl (ggml-common.h): near the quantiles of weights in blocks of 32, without a zero.
constexpr float kIq4Nl[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

TableFormat nf4() { return {"nf4", {std::begin(kNf4), std::end(kNf4)}}; }
TableFormat iq4nl() { return {"iq4nl", {std::begin(kIq4Nl), std::end(kIq4Nl)}}; }
TableFormat fp4_bnb() { return {"fp4-bnb", {std::begin(kFp4Bnb), std::end(kFp4Bnb)}}; }

float parse_level(const std::string& text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    misuse("table level \"{}\" is no fp32 number; write levels like table[-1;-0.5;0;0.5;1]", text);
  }
  return value;
}

}  // namespace

TableFormat make_table(std::vector<float> levels) {
  if (levels.size() < 2 || levels.size() > 256) misuse("a table has 2 to 256 levels, this one has {}", levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    if (!std::isfinite(levels[i])) misuse("table level {} is {}; levels must be finite", i, levels[i]);
    if (i > 0 && !(levels[i - 1] < levels[i])) {
      misuse("table levels must ascend; level {} is {} after {}", i, levels[i], levels[i - 1]);
    }
    if (levels[i] == 0) levels[i] = 0;  // -0 is no level of its own
  }
  return {"table", std::move(levels)};
}

std::optional<TableFormat> TableCodec::find(std::string_view text) {
  if (text == "nf4") return nf4();
  if (text == "iq4nl") return iq4nl();
  if (text == "fp4-bnb") return fp4_bnb();
  if (auto fitted = find_fitted_table(text)) return fitted;
  if (!text.starts_with(kOpen) || !text.ends_with(']')) return std::nullopt;
  text.remove_prefix(kOpen.size());
  text.remove_suffix(1);
  std::vector<float> levels;
  for (const std::string& level : split(text, ';')) levels.push_back(parse_level(level));
  return make_table(std::move(levels));
}

std::string TableCodec::name(const TableFormat& format) {
  if (format.name != "table") return format.name;
  return fmt::format("{}{}]", kOpen, fmt::join(format.levels, ";"));
}

std::string TableCodec::note(const TableFormat& format) {
  if (format.name == "nf4") return "NormalFloat4 of QLoRA, bitsandbytes";
  if (format.name == "iq4nl") return "IQ4_NL of llama.cpp";
  if (format.name == "fp4-bnb") return "FP4 of bitsandbytes (not E2M1)";
  if (fit_request(format)) return "to be fitted to weights";
  if (exponent_of(format)) return "power grid of PowerQuant and NUPES";
  return "user's table";
}

std::vector<std::string> TableCodec::examples() { return {"nf4", "iq4nl", "fp4-bnb", "pow4[0.6]"}; }

int TableCodec::bits(const TableFormat& format) { return std::bit_width(format.levels.size() - 1); }

Grid TableCodec::grid(const TableFormat& format) {
  Grid grid;
  const size_t count = format.levels.size();
  grid.bits = bits(format);
  grid.levels = format.levels;
  grid.decode.assign(size_t{1} << grid.bits, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < count; ++i) {
    grid.codes.push_back(static_cast<uint8_t>(i));
    grid.decode[i] = format.levels[i];
    if (i + 1 < count) grid.even_is_upper.push_back(i % 2 != 0 ? 1 : 0);
  }
  grid.max_abs = std::max(std::abs(format.levels.front()), std::abs(format.levels.back()));
  return grid;
}

FormatLimits TableCodec::limits(const TableFormat& format) {
  const float positive = std::max(format.levels.back(), 0.0f), negative = std::max(-format.levels.front(), 0.0f);
  const float max = std::max(positive, negative);
  return {positive, negative, max, std::ilogb(max), 0};
}

std::unique_ptr<const ArrayEncoder> TableCodec::arithmetic(const TableFormat&) { return nullptr; }

}  // namespace bitloom

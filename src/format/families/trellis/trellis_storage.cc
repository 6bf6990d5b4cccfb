#include "format/families/trellis/trellis_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "trellis";
constexpr int kLeastHalfBits = 2, kMostHalfBits = 10;
constexpr int64_t kSuperRows = 16, kSuperCols = 2;  // tiles of a super-tile

/// The code that has less error at this rate for its speed.
int usual_values(int half_bits) { return half_bits <= 4 ? 2 : 1; }

enum Slot { kValues, kStates };

struct Options {
  int values = 0;  // 0: the usual
  int state_bits = 16;
};
constexpr OptionWord<Options> kWords[] = {
    {"v1", kValues, assign<&Options::values, 1>},
    {"v2", kValues, assign<&Options::values, 2>},
    {"l12", kStates, assign<&Options::state_bits, 12>},
};

int read_rate(std::string_view text, std::string_view whole) {
  const auto bits = parse_number<double>(text);
  const auto half_bits = bits && *bits >= 0 && *bits < 100 ? static_cast<int>(*bits * 2) : 0;
  if (!bits || static_cast<double>(half_bits) / 2 != *bits || half_bits < kLeastHalfBits || half_bits > kMostHalfBits) {
    misuse("\"{}\": trellis codes have 1 to 5 bits a weight, in halves", whole);
  }
  return half_bits;
}

}  // namespace

bool is_trellis_spelling(std::string_view text) {
  return text.starts_with(kWord) && text.size() > kWord.size() &&
         std::isdigit(static_cast<unsigned char>(text[kWord.size()])) != 0;
}

TrellisStorage parse_trellis(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  const int half_bits = read_rate(std::string_view(parts[0]).substr(kWord.size()), text);
  Options options;
  OptionReader<Options> reader(text, kWords, {}, trellis_option_names());
  for (size_t i = 1; i < parts.size(); ++i) {
    if (reader.read(parts[i], options)) continue;
    if (others == nullptr) unknown_option(parts[i], text, trellis_option_names());
    others->push_back(parts[i]);
  }
  const int values = options.values == 0 ? usual_values(half_bits) : options.values;
  if (values == 2 && half_bits > 8) misuse("\"{}\": -v2 has at most 4 bits a weight", text);
  return {{values, half_bits, options.state_bits}};
}

std::string to_string(const TrellisStorage& storage) {
  const TrellisCode& code = storage.code;
  return fmt::format("{}{}{}{}", kWord, code.half_bits / 2.0,
                     code.values == usual_values(code.half_bits) ? "" : fmt::format("-v{}", code.values),
                     code.state_bits == 16 ? "" : fmt::format("-l{}", code.state_bits));
}

std::vector<std::string> trellis_option_names() { return {"v1", "v2", "l12"}; }

double nominal_bits(const TrellisStorage& storage, int64_t, int64_t) { return storage.code.half_bits / 2.0; }

std::vector<TensorPart> greatest_parts(const TrellisStorage& storage, int64_t rows, int64_t cols) {
  return {{".codes", DType::kU16, {TrellisLayout(storage.code, rows, cols).words()}, {}},
          {".scale", DType::kF32, {1}, {}}};
}

std::vector<TrellisStorage> at_all_widths(const TrellisStorage& storage) {
  std::vector<TrellisStorage> all;
  for (int half_bits = kLeastHalfBits; half_bits <= kMostHalfBits; ++half_bits) {
    all.push_back({{usual_values(half_bits), half_bits, storage.code.state_bits}});
  }
  return all;
}

TrellisLayout::TrellisLayout(const TrellisCode& code, int64_t rows, int64_t cols)
    : tile_rows_((rows + kTrellisTileSide - 1) / kTrellisTileSide),
      tile_cols_((cols + kSuperCols * kTrellisTileSide - 1) / (kSuperCols * kTrellisTileSide) * kSuperCols),
      words_(code.words()) {}

TrellisLayout::Place TrellisLayout::place(int64_t tile_row, int64_t tile_col) const {
  const int64_t super_row = tile_row / kSuperRows, super_col = tile_col / kSuperCols;
  const int64_t height = std::min(kSuperRows, tile_rows_ - super_row * kSuperRows);  // tiles, of this super-tile
  const int64_t before = super_row * kSuperRows * tile_cols_ + super_col * kSuperCols * height;  // tiles
  const int64_t lane = tile_row % kSuperRows * kSuperCols + tile_col % kSuperCols;
  return {before * words_ + lane, height * kSuperCols};
}

}  // namespace bitloom

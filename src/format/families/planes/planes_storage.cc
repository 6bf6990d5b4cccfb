#include "format/families/planes/planes_storage.h"

#include <fmt/format.h>

#include "base/text/text.h"
#include "format/option_words.h"
#include "packing/bitstream.h"
#include "packing/plane_layout.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "planes";

enum Slot { kBlock, kResidual, kMean, kType };

constexpr OptionWord<PlanesStorage> kWords[] = {
    {"residual", kResidual, assign<&PlanesStorage::residual, true>},
    {"zeromean", kMean, assign<&PlanesStorage::zero_mean, true>},
    {"fp8", kType, assign<&PlanesStorage::fp8, true>},
};

bool set_block(std::string_view rest, PlanesStorage& storage) {
  const auto size = parse_number<int64_t>(rest);
  if (!size || *size < 1) return false;
  storage.block = *size;
  return true;
}
constexpr OptionPrefix<PlanesStorage> kPrefixes[] = {{"g", kBlock, set_block, "gN (columns of a block)"}};

}  // namespace

bool is_planes_spelling(std::string_view text) {
  return text.starts_with(kWord) && (text.size() == kWord.size() || text[kWord.size()] == '-');
}

PlanesStorage parse_planes(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  PlanesStorage storage;
  OptionReader<PlanesStorage> reader(text, kWords, kPrefixes, planes_option_names());
  for (size_t i = 1; i < parts.size(); ++i) {
    if (reader.read(parts[i], storage)) continue;
    if (others == nullptr) unknown_option(parts[i], text, planes_option_names());
    others->push_back(parts[i]);
  }
  return storage;
}

std::string to_string(const PlanesStorage& storage) {
  return fmt::format("{}-g{}{}{}{}", kWord, storage.block, storage.residual ? "-residual" : "",
                     storage.zero_mean ? "-zeromean" : "", storage.fp8 ? "-fp8" : "");
}

std::vector<std::string> planes_option_names() { return {"gN", "residual", "zeromean", "fp8"}; }

double nominal_bits(const PlanesStorage& storage, int64_t, int64_t) { return storage.residual ? 2 : 1.1; }

std::vector<TensorPart> greatest_parts(const PlanesStorage& storage, int64_t rows, int64_t cols) {
  const int64_t tiles = tiles_of(rows);
  std::vector<TensorPart> parts = {{".codes", DType::kU8, {tiles, plane_tile_bytes(cols, storage.width(cols))}, {}}};
  if (!storage.residual) parts.push_back({".salient", DType::kU8, {1, bitstream_bytes(1, cols)}, {}});
  const DType dtype = storage.fp8 ? DType::kF8E4M3 : DType::kF16;
  parts.push_back({".levels", dtype, {tiles, storage.blocks(cols), storage.levels(), kTileRows}, {}});
  if (storage.fp8) parts.push_back({".level_scales", DType::kF16, {rows}, {}});
  return parts;
}

}  // namespace bitloom

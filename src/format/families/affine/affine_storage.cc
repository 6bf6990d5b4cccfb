#include "format/families/affine/affine_storage.h"

#include <fmt/format.h>

#include <bit>
#include <cctype>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "affine";
constexpr int64_t kMostSecondRows = 256;

enum Slot { kGroup, kWidths, kSecond };

constexpr OptionWord<AffineStorage> kWords[] = {{"mixed", kWidths, assign<&AffineStorage::mixed, true>}};

bool set_group(std::string_view rest, AffineStorage& storage) {
  const auto size = parse_number<int64_t>(rest);
  if (!size || *size < 1) return false;
  storage.group = *size;
  return true;
}

bool set_second(std::string_view rest, AffineStorage& storage) {
  const size_t cross = rest.find('x');
  const auto bits = parse_number<int>(rest.substr(0, cross));
  if (!bits || *bits < 1 || *bits > 8) return false;
  storage.second_bits = *bits;
  if (cross == std::string_view::npos) return true;
  const auto rows = parse_number<int64_t>(rest.substr(cross + 1));
  if (!rows || *rows < 1 || *rows > kMostSecondRows || !std::has_single_bit(static_cast<uint64_t>(*rows))) return false;
  storage.second_rows = *rows;
  return true;
}

constexpr OptionPrefix<AffineStorage> kPrefixes[] = {
    {"g", kGroup, set_group, "gN (columns of a group)"},
    {"s", kSecond, set_second, "sBxR (bits of scales, 1 to 8; rows that share theirs, a power of two up to 256)"},
};

}  // namespace

bool is_affine_spelling(std::string_view text) {
  return text.starts_with(kWord) && text.size() > kWord.size() &&
         std::isdigit(static_cast<unsigned char>(text[kWord.size()])) != 0;
}

AffineStorage parse_affine(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  AffineStorage storage;
  const auto bits = parse_number<int>(std::string_view(parts[0]).substr(kWord.size()));
  if (!bits || *bits < 1 || *bits > 8) misuse("\"{}\": affine codes have 1 to 8 bits", text);
  storage.bits = *bits;
  OptionReader<AffineStorage> reader(text, kWords, kPrefixes, affine_option_names());
  for (size_t i = 1; i < parts.size(); ++i) {
    if (reader.read(parts[i], storage)) continue;
    if (others == nullptr) unknown_option(parts[i], text, affine_option_names());
    others->push_back(parts[i]);
  }
  if (storage.mixed && storage.group % 8 != 0) {
    misuse("\"{}\": groups of mixed widths have a multiple of 8 columns, not {}", text, storage.group);
  }
  return storage;
}

std::string to_string(const AffineStorage& storage) {
  std::string text = fmt::format("{}{}-g{}{}", kWord, storage.bits, storage.group, storage.mixed ? "-mixed" : "");
  if (storage.second_bits > 0) text += fmt::format("-s{}x{}", storage.second_bits, storage.second_rows);
  return text;
}

std::vector<std::string> affine_option_names() { return {"gN", "mixed", "sBxR"}; }

double nominal_bits(const AffineStorage& storage, int64_t, int64_t cols) {
  const auto group = static_cast<double>(storage.width(cols));
  if (storage.second_bits == 0) return storage.bits + 32 / group;
  return storage.bits + (2 * storage.second_bits + 64 / static_cast<double>(storage.second_rows)) / group;
}

int64_t affine_row_bytes(const AffineStorage& storage, const std::vector<uint8_t>& widths, int64_t cols) {
  int64_t bytes = 0;
  for (int64_t g = 0; g < storage.groups(cols); ++g) {
    bytes += bitstream_bytes(widths[static_cast<size_t>(g)], storage.width_of(g, cols));
  }
  return bytes;
}

std::vector<AffineStorage> at_all_widths(const AffineStorage& storage) {
  std::vector<AffineStorage> all;
  for (int bits = storage.mixed ? 2 : 1; bits <= (storage.mixed ? 6 : 8); ++bits) {
    all.push_back(storage);
    all.back().bits = bits;
  }
  return all;
}

std::vector<TensorPart> greatest_parts(const AffineStorage& storage, int64_t rows, int64_t cols) {
  const int64_t groups = storage.groups(cols);
  // All groups but the last are alike: no list of them, which a header alone could make any length.
  const int64_t row_bytes = groups == 0 ? 0
                                        : (groups - 1) * bitstream_bytes(storage.bits, storage.width_of(0, cols)) +
                                              bitstream_bytes(storage.bits, storage.width_of(groups - 1, cols));
  std::vector<TensorPart> parts;
  if (storage.mixed) parts.push_back({".widths", DType::kU8, {groups}, {}});
  parts.push_back({".codes", DType::kU8, {rows, row_bytes}, {}});
  const bool second = storage.second_bits > 0;
  const DType dtype = second ? DType::kU8 : DType::kF16;
  const int64_t row_scales = second ? bitstream_bytes(storage.second_bits, groups) : groups;
  parts.push_back({".scales", dtype, {rows, row_scales}, {}});
  parts.push_back({".zeros", dtype, {rows, row_scales}, {}});
  if (second) parts.push_back({".second", DType::kF16, {storage.blocks(rows), groups, 4}, {}});
  return parts;
}

}  // namespace bitloom

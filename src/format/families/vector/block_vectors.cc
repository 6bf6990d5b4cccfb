#include "format/families/vector/block_vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "vq";
constexpr int64_t kMostBits = 8, kMostGroup = 8, kMostRows = 256, kLeastCols = 8, kMostCols = 65536, kUsualCols = 256;
constexpr int64_t kLeastScaled = 8, kMostScaled = 256;

/// Sets the group or the rows: powers of two.
template <auto kMember>
bool set_power(std::string_view rest, BlockVectorStorage& storage) {
  const auto value = parse_number<int64_t>(rest);
  const int64_t most = kMember == &BlockVectorStorage::group ? kMostGroup : kMostRows;
  if (!value || *value < 1 || *value > most || !std::has_single_bit(static_cast<uint64_t>(*value))) return false;
  storage.*kMember = *value;
  return true;
}

bool set_cols(std::string_view rest, BlockVectorStorage& storage) {
  const auto value = parse_number<int64_t>(rest);
  if (!value || *value < kLeastCols || *value > kMostCols) return false;
  storage.cols = *value;
  return true;
}

bool set_scaled(std::string_view rest, BlockVectorStorage& storage) {
  const auto value = parse_number<int64_t>(rest);
  if (!value || *value < kLeastScaled || *value > kMostScaled || !std::has_single_bit(static_cast<uint64_t>(*value))) {
    return false;
  }
  storage.scaled = *value;
  return true;
}

constexpr OptionPrefix<BlockVectorStorage> kPrefixes[] = {
    {"g", 0, set_power<&BlockVectorStorage::group>, "gN (weights of a vector: 1, 2, 4 or 8)"},
    {"r", 1, set_power<&BlockVectorStorage::rows>, "rN (rows that share a codebook: a power of two up to 256)"},
    {"c", 2, set_cols, "cN (columns that share a codebook: 8 to 65536)"},
    {"s", 3, set_scaled, "sN (columns of a row that share a scale: a power of two from 8 to 256)"},
};

int64_t usual_rows(int64_t group) { return group == 1 ? 1 : group == 2 ? 8 : kMostRows; }

}  // namespace

bool is_block_vector_spelling(std::string_view text) {
  return text.starts_with(kWord) && text.size() > kWord.size() &&
         std::isdigit(static_cast<unsigned char>(text[kWord.size()])) != 0;
}

BlockVectorStorage parse_block_vectors(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  const auto bits = parse_number<int64_t>(std::string_view(parts[0]).substr(kWord.size()));
  if (!bits || *bits < 1 || *bits > kMostBits) {
    misuse("\"{}\": should be vqB-gG, one of 2^B vectors (B 1 to {}) for G weights, as vq8-g4", text, kMostBits);
  }
  BlockVectorStorage storage{.bits = *bits, .rows = 0};
  OptionReader<BlockVectorStorage> reader(text, {}, kPrefixes, block_vector_option_names());
  for (size_t i = 1; i < parts.size(); ++i) {
    if (reader.read(parts[i], storage)) continue;
    if (others == nullptr) unknown_option(parts[i], text, block_vector_option_names());
    others->push_back(parts[i]);
  }
  if (storage.rows == 0) storage.rows = usual_rows(storage.group);
  if (storage.scaled != 0 && storage.cols % storage.scaled != 0) {
    misuse(
        "\"{}\": -c{} should be a multiple of {}: blocks are cut into whole runs of the columns that share a scale, "
        "-s{}",
        text, storage.cols, storage.scaled, storage.scaled);
  }
  return storage;
}

std::string to_string(const BlockVectorStorage& s) {
  return fmt::format(
      "{}{}-g{}{}{}{}", kWord, s.bits, s.group, s.rows == usual_rows(s.group) ? "" : fmt::format("-r{}", s.rows),
      s.cols == kUsualCols ? "" : fmt::format("-c{}", s.cols), s.scaled == 0 ? "" : fmt::format("-s{}", s.scaled));
}

std::vector<std::string> block_vector_option_names() { return {"gN", "rN", "cN", "sN"}; }

double nominal_bits(const BlockVectorStorage& s, int64_t rows, int64_t cols) {
  const double a_vector = static_cast<double>(8 * s.group * s.entries());
  if (rows == 0 || cols == 0) {
    const double scale = s.scaled == 0 ? 0 : static_cast<double>(s.kScaleBits) / static_cast<double>(s.scaled);
    return static_cast<double>(s.bits) / static_cast<double>(s.group) + scale +
           a_vector / static_cast<double>(s.rows * s.cols);
  }
  const auto weights = static_cast<double>(rows) * static_cast<double>(cols);
  const int64_t groups = (cols + s.group - 1) / s.group;
  const int64_t scales = s.scaled == 0 ? 0 : (cols + s.scaled - 1) / s.scaled;
  return (static_cast<double>(rows * (groups * s.bits + scales * s.kScaleBits)) +
          a_vector * static_cast<double>(VectorBlocks(s, rows, cols).count())) /
         weights;
}

std::vector<TensorPart> greatest_parts(const BlockVectorStorage& s, int64_t rows, int64_t cols) {
  const VectorBlocks blocks(s, rows, cols);
  std::vector<TensorPart> parts = {{".codes", DType::kU8, {VectorLayout(s.codes(), rows, cols).bytes()}, {}},
                                   {".codebooks", DType::kI8, {blocks.down, blocks.across, s.entries(), s.group}, {}},
                                   {".scales", DType::kF16, {blocks.down, blocks.across}, {}}};
  if (s.scaled == 0) return parts;
  parts.push_back({".scale_codes", DType::kU8, {VectorLayout(s.scale_codes(), rows, cols).bytes()}, {}});
  parts.push_back({".scale_steps", DType::kF16, {blocks.down, blocks.across}, {}});
  return parts;
}

std::vector<BlockVectorStorage> at_all_widths(const BlockVectorStorage& storage) {
  std::vector<BlockVectorStorage> all;
  for (int64_t bits = std::min(storage.group, storage.bits); bits <= kMostBits; ++bits) {
    all.push_back({bits, storage.group, storage.rows, storage.cols, storage.scaled});
  }
  return all;
}

void check_worthwhile(const std::string& name, const BlockVectorStorage& storage, int64_t rows, int64_t cols) {
  constexpr double kOfF16 = 16;
  const double bits = nominal_bits(storage, rows, cols);
  if (rows == 0 || cols == 0 || bits <= kOfF16) return;
  misuse("{}: {} would take {:.1f} bits for each weight of [{}, {}], more than fp16: most of them its codebooks'", name,
         to_string(storage), bits, rows, cols);
}

VectorBlocks::VectorBlocks(const BlockVectorStorage& storage, int64_t rows, int64_t cols) : height(storage.rows) {
  if (rows == 0 || cols == 0) return;
  down = (rows + height - 1) / height;
  const int64_t runs = std::max<int64_t>(1, (cols + storage.cols / 2) / storage.cols);
  const int64_t even = (cols + runs - 1) / runs;
  const int64_t whole = std::max(storage.group, storage.scaled);  // powers of two
  width = (even + whole - 1) / whole * whole;
  across = (cols + width - 1) / width;
}

constinit const FamilyRow kBlockVectorFamily =
    family_row<BlockVectorStorage, parse_block_vectors>("vector", is_block_vector_spelling, block_vector_option_names);

}  // namespace bitloom

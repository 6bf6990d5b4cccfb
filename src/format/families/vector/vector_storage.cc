#include "format/families/vector/vector_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "aq";
constexpr int64_t kMostCodebooks = 16, kMostBits = 16, kMostGroup = 64, kMostAllocated = 4;
constexpr int64_t kByteBits = 8;

bool within(const std::optional<int64_t>& value, int64_t most) { return value && *value >= 1 && *value <= most; }

bool set_group(std::string_view rest, VectorStorage& storage) {
  const auto size = parse_number<int64_t>(rest);
  if (!within(size, kMostGroup)) return false;
  storage.group = *size;
  return true;
}

constexpr OptionPrefix<VectorStorage> kPrefixes[] = {{"g", 0, set_group, "gN (weights of a vector, 1 to 64)"}};

/// Bits a weight that codebooks take.
double codebook_bits(const VectorStorage& s, int64_t rows, int64_t cols) {
  return 16 * static_cast<double>(s.group * s.codebooks * s.entries()) /
         (static_cast<double>(rows) * static_cast<double>(cols));
}

}  // namespace

bool is_vector_spelling(std::string_view text) {
  return text.starts_with(kWord) && text.size() > kWord.size() &&
         std::isdigit(static_cast<unsigned char>(text[kWord.size()])) != 0;
}

VectorStorage parse_vector(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  const std::vector<std::string> counts = split(std::string_view(parts[0]).substr(kWord.size()), 'x');
  const auto codebooks = parse_number<int64_t>(counts[0]);
  const auto bits = parse_number<int64_t>(counts.back());
  if (counts.size() != 2 || !within(codebooks, kMostCodebooks) || !within(bits, kMostBits)) {
    misuse("\"{}\": should be aqMxB-gG, M additive codebooks (1 to {}) of 2^B vectors (B 1 to {}), as aq2x8-g8", text,
           kMostCodebooks, kMostBits);
  }
  VectorStorage storage{*codebooks, *bits};
  OptionReader<VectorStorage> reader(text, {}, kPrefixes, vector_option_names());
  for (size_t i = 1; i < parts.size(); ++i) {
    if (reader.read(parts[i], storage)) continue;
    if (others == nullptr) unknown_option(parts[i], text, vector_option_names());
    others->push_back(parts[i]);
  }
  return storage;
}

std::string to_string(const VectorStorage& storage) {
  return fmt::format("{}{}x{}-g{}", kWord, storage.codebooks, storage.bits, storage.group);
}

std::vector<std::string> vector_option_names() { return {"gN"}; }

double nominal_bits(const VectorStorage& s, int64_t rows, int64_t cols) {
  if (rows == 0 || cols == 0) return static_cast<double>(s.bits * s.codebooks) / static_cast<double>(s.group);
  const int64_t groups = (cols + s.group - 1) / s.group;
  return codebook_bits(s, rows, cols) +
         static_cast<double>(groups * s.bits * s.codebooks + 16) / static_cast<double>(cols);
}

std::vector<TensorPart> greatest_parts(const VectorStorage& s, int64_t rows, int64_t cols) {
  return {{".codes", DType::kU8, {VectorLayout(s, rows, cols).bytes()}, {}},
          {".codebooks", DType::kF16, {s.codebooks, s.entries(), s.group}, {}},
          {".scales", DType::kF16, {rows}, {}}};
}

std::vector<VectorStorage> at_all_widths(const VectorStorage& storage) {
  std::vector<VectorStorage> all;
  for (int64_t codebooks = 1; codebooks <= kMostAllocated; ++codebooks) {
    all.push_back({codebooks, storage.bits, storage.group});
  }
  return all;
}

void check_worthwhile(const std::string& name, const VectorStorage& storage, int64_t rows, int64_t cols) {
  constexpr double kOfF16 = 16;
  if (rows == 0 || cols == 0 || nominal_bits(storage, rows, cols) <= kOfF16) return;
  // The largest codebooks that take no more than their codes.
  VectorStorage fitting = storage;
  const auto too_large = [&] {
    return 2 * codebook_bits(fitting, rows, cols) > nominal_bits(fitting, rows, cols) - 16 / static_cast<double>(cols);
  };
  while (fitting.bits > 1 && too_large()) --fitting.bits;
  const std::string instead =
      too_large() ? "" : fmt::format("; {} would take {:.2f}", to_string(fitting), nominal_bits(fitting, rows, cols));
  misuse("{}: {} would take {:.1f} bits for each weight of [{}, {}], {:.1f} of them its codebooks', more than fp16{}",
         name, to_string(storage), nominal_bits(storage, rows, cols), rows, cols, codebook_bits(storage, rows, cols),
         instead);
}

VectorLayout::VectorLayout(const VectorStorage& storage, int64_t rows, int64_t cols)
    : rows_(rows),
      groups_((cols + storage.group - 1) / storage.group),
      codebooks_(storage.codebooks),
      low_bits_(std::min(storage.bits, kByteBits)),
      high_bits_(storage.bits - low_bits_) {}

int64_t VectorLayout::height(int64_t tile) const { return std::min(kTileRows, rows_ - tile * kTileRows); }

int64_t VectorLayout::low_bytes(int64_t tile) const {
  return bitstream_bytes(static_cast<int>(low_bits_), height(tile));
}

int64_t VectorLayout::stream_bytes(int64_t tile) const {
  return low_bytes(tile) + bitstream_bytes(static_cast<int>(high_bits_), height(tile));
}

int64_t VectorLayout::place(int64_t tile, int64_t group, int64_t codebook) const {
  // All tiles before have 256 rows, whose codes fill whole bytes.
  const int64_t before = tile * groups_ * codebooks_ * kTileRows * (low_bits_ + high_bits_) / 8;
  return before + (group * codebooks_ + codebook) * stream_bytes(tile);
}

int64_t VectorLayout::bytes() const { return rows_ == 0 ? 0 : place(tiles() - 1, groups_, 0); }

}  // namespace bitloom

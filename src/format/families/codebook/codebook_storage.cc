#include "format/families/codebook/codebook_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"
#include "packing/bitstream.h"
#include "packing/row_words.h"

namespace bitloom {
namespace {

using Share = CodebookStorage::Share;
constexpr std::string_view kWord = "codebook";
constexpr int64_t kMostLevels = 256;

int64_t read_width(std::string_view text, std::string_view whole) {
  const auto bits = parse_number<double>(text);
  const double milli = bits ? std::round(*bits * 1000) : 0;
  if (!bits || milli < 1000 || milli > 8000 || milli / 1000 != *bits) {
    misuse("\"{}\": codebooks have codes of 1 to 8 bits, with at most three places after the point", whole);
  }
  return static_cast<int64_t>(milli);
}

constexpr int kShare = 0;  // the one slot: who shares a table

constexpr OptionWord<CodebookStorage> kWords[] = {
    {"col", kShare, assign<&CodebookStorage::share, Share::kColumn>},
    {"row", kShare, assign<&CodebookStorage::share, Share::kRow>},
    {"tensor", kShare, assign<&CodebookStorage::share, Share::kTensor>},
};

bool set_group(std::string_view rest, CodebookStorage& storage) {
  const auto size = parse_number<int64_t>(rest);
  if (!size || *size < 1) return false;
  storage.share = Share::kGroup, storage.group = *size;
  return true;
}
constexpr OptionPrefix<CodebookStorage> kPrefixes[] = {{"g", kShare, set_group, "gN (columns of a group)"}};

}  // namespace

bool is_codebook_spelling(std::string_view text) {
  return text.starts_with(kWord) && text.size() > kWord.size() &&
         std::isdigit(static_cast<unsigned char>(text[kWord.size()])) != 0;
}

CodebookStorage parse_codebook(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  CodebookStorage storage;
  storage.milli_bits = read_width(std::string_view(parts[0]).substr(kWord.size()), text);
  OptionReader<CodebookStorage> reader(text, kWords, kPrefixes, codebook_option_names());
  for (size_t i = 1; i < parts.size(); ++i) {
    if (reader.read(parts[i], storage)) continue;
    if (others == nullptr) unknown_option(parts[i], text, codebook_option_names());
    others->push_back(parts[i]);
  }
  if (storage.share != Share::kColumn && !storage.whole()) {
    misuse("\"{}\": only columns with tables of their own may differ in width; add -col", text);
  }
  return storage;
}

std::string to_string(const CodebookStorage& storage) {
  const double bits = static_cast<double>(storage.milli_bits) / 1000;
  switch (storage.share) {
    case Share::kColumn:
      return fmt::format("{}{}-col", kWord, bits);
    case Share::kRow:
      return fmt::format("{}{}-row", kWord, bits);
    case Share::kGroup:
      return fmt::format("{}{}-g{}", kWord, bits, storage.group);
    case Share::kTensor:
      return fmt::format("{}{}-tensor", kWord, bits);
  }
  return "";
}

std::vector<std::string> codebook_option_names() { return {"col", "row", "gN", "tensor"}; }

double nominal_bits(const CodebookStorage& storage, int64_t, int64_t) {
  return static_cast<double>(storage.milli_bits) / 1000;
}

bool has_fixed_sizes(const CodebookStorage& storage) { return storage.share != Share::kColumn; }

TableShape table_shape(const CodebookStorage& storage, int64_t rows, int64_t cols) {
  const int64_t all_rows = std::max<int64_t>(rows, 1), all_cols = std::max<int64_t>(cols, 1);
  switch (storage.share) {
    case Share::kColumn:
      return {1, cols, all_rows, 1};
    case Share::kRow:
      return {rows, 1, 1, all_cols};
    case Share::kGroup: {
      const int64_t group = std::min(storage.group, all_cols);
      return {rows, (cols + group - 1) / group, 1, group};
    }
    case Share::kTensor:
      return {1, 1, all_rows, all_cols};
  }
  return {};
}

std::vector<CodebookStorage> at_all_widths(const CodebookStorage& storage) {
  constexpr int64_t kMost = 6000;
  const int64_t step = storage.share == CodebookStorage::Share::kColumn ? 500 : 1000;
  std::vector<CodebookStorage> all;
  for (int64_t milli_bits = 1000; milli_bits <= kMost; milli_bits += step) {
    all.push_back({milli_bits, storage.share, storage.group});
  }
  return all;
}

std::vector<TensorPart> greatest_parts(const CodebookStorage& storage, int64_t rows, int64_t cols) {
  if (storage.share != Share::kColumn) {
    const TableShape shape = table_shape(storage, rows, cols);
    return {{".codes", DType::kU8, {rows, bitstream_bytes(storage.bits(), cols)}, {}},
            {".tables", DType::kF16, {shape.rows, shape.cols, int64_t{1} << storage.bits()}, {}}};
  }
  // Columns of any widths with this mean, the number of wide ones rounded. Rows are padded to whole tiles; a row's
  // nibbles end within 2 + 3 + 4 bits. Tables are largest where the bits of all columns beyond the first are given to
  // as few as possible.
  const int64_t wider = storage.whole() ? 0 : 4;  // half a column of 8 bits
  const int64_t row_bits = (storage.milli_bits * cols + 999) / 1000 + wider + (cols == 0 ? 0 : 9);
  const int64_t wide = std::min(cols, (cols * (storage.milli_bits - 1000) + 6999) / 7000 + (storage.whole() ? 0 : 1));
  const int64_t levels =
      storage.whole() && storage.bits() == 8 ? cols * kMostLevels : wide * kMostLevels + (cols - wide) * 2;
  return {{".widths", DType::kU8, {cols}, {}},
          {".codes", DType::kU8, {2 * row_bits * tiles_of(rows)}, {}},
          {".tables", DType::kF16, {levels}, {}}};
}

}  // namespace bitloom

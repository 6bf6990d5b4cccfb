#include "format/families/codebook/codebook_matrix.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "packing/bitstream.h"
#include "packing/column_layout.h"
#include "packing/row_words.h"

namespace bitloom {
namespace {

constexpr int kMostBits = 8;

void check_tables(const std::string& name, const TensorPart& tables) {
  const auto count = static_cast<int64_t>(tables.bytes.size() / 2);
  std::vector<float> levels(static_cast<size_t>(count));
  decode_to_f32(DType::kF16, tables.bytes.data(), 0, count, levels.data());
  for (int64_t i = 0; i < count; ++i) {
    if (std::isfinite(levels[static_cast<size_t>(i)])) continue;
    fail(ErrorKind::kUnverified, "{}.tables: level {} is {}, must be finite", name, i, levels[static_cast<size_t>(i)]);
  }
}

/// Tables of columns.
class ColumnMatrix final : public BaseMatrix {
 public:
  ColumnMatrix(const std::string& name, const CodebookStorage& storage, int64_t rows, int64_t cols,
               const std::vector<TensorPart>& parts)
      : rows_(rows), cols_(cols) {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    widths_ = checked_part(name, text, parts, want[0]);
    codes_ = bounded_part(name, text, parts, want[1]);
    tables_ = bounded_part(name, text, parts, want[2]);
    for (int64_t c = 0; c < cols; ++c) {
      const int bits = bits_of_column(c);
      if (bits < 1 || bits > kMostBits) refuse("{}.widths: [{}] is {}, must be 1 to {}", name, c, bits, kMostBits);
    }
    layout_.emplace(widths_.bytes);
    check_extent(name, codes_, layout_->tile_bytes * tiles_of(rows));
    check_extent(name, tables_, layout_->levels);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<float> tables(static_cast<size_t>(layout_->levels));
    decode_to_f32(DType::kF16, tables_.bytes.data(), 0, layout_->levels, tables.data());
    uint8_t codes[kTileRows];
    for (int64_t first = begin; first < end;) {
      const int64_t tile = first / kTileRows, last = std::min(end, (tile + 1) * kTileRows);
      const float* table = tables.data();
      for (size_t i = 0; i < layout_->order.size(); ++i) {
        const int64_t c = layout_->order[i];
        unpack_column(tile, i, first % kTileRows, last - first, codes);
        float* value = out + (first - begin) * cols_ + c;
        for (int64_t r = 0; r < last - first; ++r) value[r * cols_] = table[codes[r]];
        table += int64_t{1} << bits_of_column(c);
      }
      first = last;
    }
  }

  double nominal_bits() const override {
    const double total = std::accumulate(widths_.bytes.begin(), widths_.bytes.end(), 0.0,
                                         [](double sum, std::byte width) { return sum + static_cast<double>(width); });
    return cols_ == 0 ? 0 : total / static_cast<double>(cols_);
  }

  void check_values(const std::string& name) const override {
    check_tables(name, tables_);
    std::vector<CodebookColumn> columns(static_cast<size_t>(cols_));
    for (size_t i = 0; i < layout_->order.size(); ++i) {
      CodebookColumn& column = columns[static_cast<size_t>(layout_->order[i])];
      column.bits = bits_of_column(layout_->order[i]);
      column.codes.resize(static_cast<size_t>(tiles_of(rows_) * kTileRows));
      for (int64_t tile = 0; tile < tiles_of(rows_); ++tile) {
        unpack_column(tile, i, 0, kTileRows, column.codes.data() + tile * kTileRows);
      }
      column.codes.resize(static_cast<size_t>(rows_));
    }
    if (std::ranges::equal(pack_columns(columns)[1], codes_.bytes)) return;
    fail(ErrorKind::kUnverified, "{}.codes: padding is not zero", name);
  }

 private:
  int bits_of_column(int64_t c) const { return static_cast<int>(widths_.bytes[static_cast<size_t>(c)]); }
  static void check_extent(const std::string& name, const TensorPart& part, int64_t wanted) {
    if (part.shape[0] != wanted)
      refuse("{}{}: shape is [{}], the widths need [{}]", name, part.suffix, part.shape[0], wanted);
  }

  /// Codes of rows [first, first + count) of a tile, in the i-th column of the layout.
  void unpack_column(int64_t tile, size_t i, int64_t first, int64_t count, uint8_t* codes) const {
    const std::byte* at = codes_.bytes.data() + tile * layout_->tile_bytes;
    const int bits = bits_of_column(layout_->order[i]);
    const int64_t start = layout_->starts[i];
    if (static_cast<int64_t>(i) >= layout_->nibble_columns()) return unpack_bits(at + start, first, count, bits, codes);
    for (int64_t r = 0; r < count; ++r) codes[r] = row_word_field(at, layout_->row_bytes, first + r, start, bits);
  }

  int64_t rows_, cols_;
  TensorPart widths_, codes_, tables_;
  std::optional<ColumnLayout> layout_;
};

/// Tables of rows, groups in rows or the whole matrix: codes lie row by row.
class RowMatrix final : public BaseMatrix {
 public:
  RowMatrix(const std::string& name, const CodebookStorage& storage, int64_t rows, int64_t cols,
            const std::vector<TensorPart>& parts)
      : rows_(rows), cols_(cols), bits_(storage.bits()), shape_(table_shape(storage, rows, cols)) {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    codes_ = checked_part(name, text, parts, want[0]);
    tables_ = checked_part(name, text, parts, want[1]);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    const int64_t levels = int64_t{1} << bits_;
    std::vector<uint8_t> codes(static_cast<size_t>(cols_));
    std::vector<float> tables(static_cast<size_t>(shape_.cols * levels));
    for (int64_t r = begin; r < end; ++r, out += cols_) {
      unpack_bits(codes_.bytes.data() + r * bitstream_bytes(bits_, cols_), 0, cols_, bits_, codes.data());
      decode_to_f32(DType::kF16, tables_.bytes.data(), r / shape_.table_rows * shape_.cols * levels,
                    shape_.cols * levels, tables.data());
      for (int64_t c = 0; c < cols_; ++c) {
        out[c] = tables[static_cast<size_t>(c / shape_.table_cols * levels + codes[static_cast<size_t>(c)])];
      }
    }
  }

  double nominal_bits() const override { return bits_; }

  void check_values(const std::string& name) const override {
    check_tables(name, tables_);
    for (int64_t r = 0; r < rows_; ++r) {
      if (padding_is_zero(codes_.bytes.data() + r * bitstream_bytes(bits_, cols_), cols_, bits_)) continue;
      fail(ErrorKind::kUnverified, "{}.codes: padding bits of row {} are not zero", name, r);
    }
  }

 private:
  int64_t rows_, cols_;
  int bits_;
  TableShape shape_;
  TensorPart codes_, tables_;
};

}  // namespace

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const CodebookStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  if (storage.share == CodebookStorage::Share::kColumn) {
    return std::make_unique<ColumnMatrix>(name, storage, rows, cols, parts);
  }
  return std::make_unique<RowMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kCodebookFamily =
    family_row<CodebookStorage, parse_codebook>("codebook", is_codebook_spelling, codebook_option_names);

std::vector<std::vector<std::byte>> pack_columns(const std::vector<CodebookColumn>& columns, ThreadPool* threads) {
  std::vector<std::vector<std::byte>> parts(3);
  for (const CodebookColumn& column : columns) parts[0].push_back(static_cast<std::byte>(column.bits));
  const ColumnLayout layout(parts[0]);
  const auto rows = columns.empty() ? 0 : static_cast<int64_t>(columns[0].codes.size());
  parts[1].resize(static_cast<size_t>(tiles_of(rows) * layout.tile_bytes));
  parts[2].reserve(static_cast<size_t>(2 * layout.levels));
  constexpr int64_t kTiles = 16;  // that take turns with a column
  const auto pack_tiles = [&](int64_t part) {
    const int64_t begin = part * kTiles * kTileRows, end = std::min(rows, begin + kTiles * kTileRows);
    for (size_t i = 0; i < layout.order.size(); ++i) {
      const CodebookColumn& column = columns[static_cast<size_t>(layout.order[i])];
      for (int64_t first = begin; first < end; first += kTileRows) {
        std::byte* tile = parts[1].data() + first / kTileRows * layout.tile_bytes;
        const uint8_t* codes = column.codes.data() + first;
        const int64_t count = std::min(kTileRows, end - first);
        if (static_cast<int64_t>(i) >= layout.nibble_columns()) {
          pack_bits(codes, count, column.bits, tile + layout.starts[i]);
        } else {
          for (int64_t r = 0; r < count; ++r) set_row_word_field(tile, layout.row_bytes, r, layout.starts[i], codes[r]);
        }
      }
    }
  };
  const int64_t tasks = (tiles_of(rows) + kTiles - 1) / kTiles;
  if (threads != nullptr) threads->parallel_for(tasks, pack_tiles);
  for (int64_t part = 0; part < tasks && threads == nullptr; ++part) pack_tiles(part);
  for (const int64_t c : layout.order) {
    const CodebookColumn& column = columns[static_cast<size_t>(c)];
    const size_t levels = parts[2].size();
    parts[2].resize(levels + 2 * column.table.size());
    encode_from_f32(DType::kF16, column.table.data(), static_cast<int64_t>(column.table.size()),
                    parts[2].data() + levels);
  }
  return parts;
}

}  // namespace bitloom

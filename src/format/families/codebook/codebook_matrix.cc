#include "format/families/codebook/codebook_matrix.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "packing/bitstream.h"

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

/// Tables of columns: codes lie column by column.
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
    starts_ = {{0, 0}};
    for (int64_t c = 0; c < cols; ++c) {
      const int bits = bits_of_column(c);
      if (bits < 1 || bits > kMostBits) refuse("{}.widths: [{}] is {}, must be 1 to {}", name, c, bits, kMostBits);
      starts_.push_back(
          {starts_.back().codes + bitstream_bytes(bits, rows), starts_.back().levels + (int64_t{1} << bits)});
    }
    check_extent(name, codes_, starts_.back().codes);
    check_extent(name, tables_, starts_.back().levels);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<uint8_t> codes(static_cast<size_t>(end - begin));
    float table[1 << kMostBits];
    for (int64_t c = 0; c < cols_; ++c) {
      const Start& start = starts_[static_cast<size_t>(c)];
      unpack_bits(codes_.bytes.data() + start.codes, begin, end - begin, bits_of_column(c), codes.data());
      decode_to_f32(DType::kF16, tables_.bytes.data(), start.levels, int64_t{1} << bits_of_column(c), table);
      for (size_t r = 0; r < codes.size(); ++r) out[static_cast<int64_t>(r) * cols_ + c] = table[codes[r]];
    }
  }

  double nominal_bits() const override {
    const double total = std::accumulate(widths_.bytes.begin(), widths_.bytes.end(), 0.0,
                                         [](double sum, std::byte width) { return sum + static_cast<double>(width); });
    return cols_ == 0 ? 0 : total / static_cast<double>(cols_);
  }

  void check_values(const std::string& name) const override {
    check_tables(name, tables_);
    for (int64_t c = 0; c < cols_; ++c) {
      if (padding_is_zero(codes_.bytes.data() + starts_[static_cast<size_t>(c)].codes, rows_, bits_of_column(c)))
        continue;
      fail(ErrorKind::kUnverified, "{}.codes: padding bits of column {} are not zero", name, c);
    }
  }

 private:
  /// Where a column begins.
  struct Start {
    int64_t codes, levels;
  };
  int bits_of_column(int64_t c) const { return static_cast<int>(widths_.bytes[static_cast<size_t>(c)]); }
  static void check_extent(const std::string& name, const TensorPart& part, int64_t wanted) {
    if (part.shape[0] != wanted)
      refuse("{}{}: shape is [{}], the widths need [{}]", name, part.suffix, part.shape[0], wanted);
  }

  int64_t rows_, cols_;
  TensorPart widths_, codes_, tables_;
  std::vector<Start> starts_;
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

std::vector<std::vector<std::byte>> pack_columns(const std::vector<CodebookColumn>& columns) {
  std::vector<std::vector<std::byte>> parts(3);
  for (const CodebookColumn& column : columns) {
    const auto rows = static_cast<int64_t>(column.codes.size());
    parts[0].push_back(static_cast<std::byte>(column.bits));
    const size_t codes = parts[1].size(), levels = parts[2].size();
    parts[1].resize(codes + static_cast<size_t>(bitstream_bytes(column.bits, rows)));
    pack_bits(column.codes.data(), rows, column.bits, parts[1].data() + codes);
    parts[2].resize(levels + 2 * column.table.size());
    encode_from_f32(DType::kF16, column.table.data(), static_cast<int64_t>(column.table.size()),
                    parts[2].data() + levels);
  }
  return parts;
}

}  // namespace bitloom

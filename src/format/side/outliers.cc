#include "format/side/outliers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <tuple>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "outliers";

template <typename T>
T load(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void append(std::vector<std::byte>& bytes, T value) {
  const auto* raw = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), raw, raw + sizeof(T));
}

}  // namespace

OutlierStorage parse_outliers(std::string_view text, std::string_view whole) {
  const auto share = text.starts_with(kWord) ? parse_number<double>(text.substr(kWord.size())) : std::nullopt;
  if (!share || !(*share > 0 && *share <= 0.5)) {
    misuse("\"+{}\" in \"{}\" should be +outliersS, S a share above 0 up to 0.5", text, whole);
  }
  return {*share};
}

std::string to_string(const OutlierStorage& storage) { return fmt::format("{}{}", kWord, storage.most); }

double nominal_bits(const OutlierStorage& storage, int64_t, int64_t) { return 16 * storage.most; }

int64_t most_outliers(const OutlierStorage& storage, int64_t rows, int64_t cols) {
  return static_cast<int64_t>(std::ceil(storage.most * static_cast<double>(rows) * static_cast<double>(cols)));
}

std::vector<TensorPart> greatest_parts(const OutlierStorage& storage, int64_t rows, int64_t cols) {
  const int64_t most = most_outliers(storage, rows, cols);
  return {{".outlier_values", DType::kF16, {most}, {}},
          {".outlier_columns", DType::kU16, {most}, {}},
          {".outlier_starts", DType::kU32, {rows + 1}, {}}};
}

std::vector<std::vector<std::byte>> pack_outliers(std::vector<Outlier> outliers, int64_t rows) {
  std::sort(outliers.begin(), outliers.end(),
            [](const Outlier& a, const Outlier& b) { return std::tie(a.row, a.col) < std::tie(b.row, b.col); });
  std::vector<std::vector<std::byte>> parts(3);
  auto next = outliers.begin();
  for (int64_t r = 0; r < rows; ++r) {
    append(parts[2], static_cast<uint32_t>(next - outliers.begin()));
    for (; next != outliers.end() && next->row == r; ++next) {
      assert(next->col >= 0 && next->col < kMostOutlierColumns);
      append(parts[0], f32_to_f16(next->value));
      append(parts[1], static_cast<uint16_t>(next->col));
    }
  }
  assert(next == outliers.end());
  append(parts[2], static_cast<uint32_t>(outliers.size()));
  return parts;
}

OutlierView::OutlierView(const std::string& name, const OutlierStorage& storage, int64_t rows, int64_t cols,
                         const std::vector<TensorPart>& parts)
    : rows_(rows), cols_(cols) {
  if (cols > kMostOutlierColumns)
    refuse("{}: outliers in {} columns, at most {} can be named", name, cols, kMostOutlierColumns);
  const std::string text = to_string(storage);
  const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
  const TensorPart values = bounded_part(name, text, parts, want[0]);
  const TensorPart columns = bounded_part(name, text, parts, want[1]);
  const TensorPart starts = checked_part(name, text, parts, want[2]);
  values_ = values.bytes.data(), columns_ = columns.bytes.data(), starts_ = starts.bytes.data();
  if (values.shape != columns.shape) {
    refuse("{}.outlier_columns: {} columns for {} values", name, columns.shape[0], values.shape[0]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    if (start_of(r) > start_of(r + 1)) refuse("{}.outlier_starts: [{}] is above the next", name, r);
  }
  if (start_of(0) != 0 || start_of(rows) != values.shape[0]) {
    refuse("{}.outlier_starts: from {} to {}, but there are {} values", name, start_of(0), start_of(rows),
           values.shape[0]);
  }
}

uint32_t OutlierView::start_of(int64_t row) const { return load<uint32_t>(starts_, row); }
uint16_t OutlierView::column_of(int64_t index) const { return load<uint16_t>(columns_, index); }
float OutlierView::value_of(int64_t index) const { return f16_to_f32(load<uint16_t>(values_, index)); }

void OutlierView::apply(int64_t begin, int64_t end, float* out) const {
  for (int64_t r = begin; r < end; ++r, out += cols_) {
    // Of a file that nobody verified a column may be none.
    for (int64_t i = start_of(r); i < start_of(r + 1); ++i) {
      if (column_of(i) < cols_) out[column_of(i)] += value_of(i);
    }
  }
}

double OutlierView::nominal_bits() const {
  const auto weights = static_cast<double>(rows_ * cols_);
  return weights == 0 ? 0 : 16 * static_cast<double>(start_of(rows_)) / weights;
}

void OutlierView::check_values(const std::string& name) const {
  for (int64_t r = 0; r < rows_; ++r) {
    for (int64_t i = start_of(r); i < start_of(r + 1); ++i) {
      const bool ordered = i == start_of(r) || column_of(i) > column_of(i - 1);
      if (column_of(i) >= cols_ || !ordered) {
        fail(ErrorKind::kUnverified, "{}.outlier_columns: [{}] is {}, columns of a row must ascend and be below {}",
             name, i, column_of(i), cols_);
      }
      if (!std::isfinite(value_of(i))) {
        fail(ErrorKind::kUnverified, "{}.outlier_values: [{}] is {}, must be finite", name, i, value_of(i));
      }
    }
  }
}

std::unique_ptr<const SideView> open_side(const std::string& name, const OutlierStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<OutlierView>(name, storage, rows, cols, parts);
}

}  // namespace bitloom

#include "format/side/column_order.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "order";

DType dtype_for(int64_t cols) { return cols <= 65536 ? DType::kU16 : DType::kU32; }

class ColumnOrderView final : public SideView {
 public:
  ColumnOrderView(const std::string& name, const ColumnOrderStorage& storage, int64_t rows, int64_t cols,
                  const std::vector<TensorPart>& parts) {
    const TensorPart part = checked_part(name, to_string(storage), parts, greatest_parts(storage, rows, cols)[0]);
    std::vector<bool> taken(static_cast<size_t>(cols));
    order_.reserve(taken.size());
    for (int64_t i = 0; i < cols; ++i) {
      const int64_t width = info(part.dtype).bits / 8;
      uint32_t col = 0;  // the file's bytes are little-endian, as the machine's
      std::memcpy(&col, part.bytes.data() + i * width, static_cast<size_t>(width));
      if (col >= taken.size()) refuse("{}.order: [{}] is {}, columns are below {}", name, i, col, cols);
      if (taken[col]) refuse("{}.order: [{}] is {} again, each column must stand once", name, i, col);
      taken[col] = true;
      order_.push_back(col);
    }
  }

  void apply(int64_t begin, int64_t end, float* out) const override {
    std::vector<float> stored(order_.size());
    for (int64_t r = begin; r < end; ++r, out += order_.size()) {
      std::copy(out, out + stored.size(), stored.begin());
      for (size_t i = 0; i < stored.size(); ++i) out[order_[i]] = stored[i];
    }
  }

  double nominal_bits() const override { return 0; }
  void check_values(const std::string&) const override {}  // checked when it was opened

 private:
  std::vector<uint32_t> order_;
};

}  // namespace

ColumnOrderStorage parse_column_order(std::string_view text, std::string_view whole) {
  if (text != kWord) misuse("\"+{}\" in \"{}\" should be +{}", text, whole, kWord);
  return {true};
}

std::string to_string(const ColumnOrderStorage&) { return std::string(kWord); }

double nominal_bits(const ColumnOrderStorage&, int64_t, int64_t) { return 0; }

std::vector<TensorPart> greatest_parts(const ColumnOrderStorage&, int64_t, int64_t cols) {
  return {{".order", dtype_for(cols), {cols}, {}}};
}

std::vector<std::byte> pack_column_order(const std::vector<int64_t>& order) {
  const auto cols = static_cast<int64_t>(order.size());
  const int64_t width = info(dtype_for(cols)).bits / 8;
  std::vector<std::byte> bytes(static_cast<size_t>(cols * width));
  for (int64_t i = 0; i < cols; ++i) {
    const auto col = static_cast<uint32_t>(order[static_cast<size_t>(i)]);
    std::memcpy(bytes.data() + i * width, &col, static_cast<size_t>(width));
  }
  return bytes;
}

std::unique_ptr<const SideView> open_side(const std::string& name, const ColumnOrderStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<ColumnOrderView>(name, storage, rows, cols, parts);
}

}  // namespace bitloom

#include "format/families/vector/e8p.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "e8p";

int64_t groups_of(int64_t cols) { return (cols + kE8pGroup - 1) / kE8pGroup; }

/// Calls visit(a) for all vectors of {1, 3, 5}^8 in lexicographic order.
template <typename Visit>
void for_each_vector(const Visit& visit) {
  constexpr int kAll = 6561;  // 3^8
  for (int i = 0; i < kAll; ++i) {
    std::array<int8_t, kE8pGroup> a;
    int rest = i;
    for (auto digit = a.rbegin(); digit != a.rend(); ++digit, rest /= 3)
      *digit = static_cast<int8_t>(1 + 2 * (rest % 3));
    visit(a);
  }
}

E8pTable make_table() {
  constexpr int kInner = 40, kOuter = 48;  // four times the squared norms 10 and 12
  E8pTable table;
  size_t count = 0;
  for (const int squares : {kInner, kOuter}) {
    for_each_vector([&](const std::array<int8_t, kE8pGroup>& a) {
      int sum = 0;
      for (const int8_t x : a) sum += x * x;
      const bool outer = sum == kOuter && std::count(a.begin(), a.end(), int8_t{3}) == 5;
      if (count < table.size() && (squares == kInner ? sum <= kInner : outer)) table[count++] = a;
    });
  }
  return table;
}

class E8pMatrix final : public BaseMatrix {
 public:
  E8pMatrix(const std::string& name, int64_t rows, int64_t cols, const std::vector<TensorPart>& parts)
      : table_(e8p_table()), cols_(cols) {
    const std::vector<TensorPart> want = greatest_parts(E8pStorage{}, rows, cols);
    codes_ = checked_part(name, "e8p", parts, want[0]);
    std::memcpy(&scale_, checked_part(name, "e8p", parts, want[1]).bytes.data(), sizeof scale_);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols_; c += kE8pGroup) {
        uint16_t code;
        std::memcpy(&code, codes_.bytes.data() + 2 * (r * groups_of(cols_) + c / kE8pGroup), sizeof code);
        float point[kE8pGroup];
        decode_e8p(table_, code, point);
        for (int64_t i = 0; i < std::min(kE8pGroup, cols_ - c); ++i) *out++ = scale_ * point[i];
      }
    }
  }

  double nominal_bits() const override { return bitloom::nominal_bits(E8pStorage{}, 1, cols_); }

  void check_values(const std::string& name) const override {
    if (std::isfinite(scale_) && scale_ >= 0) return;
    fail(ErrorKind::kUnverified, "{}.scale: is {}, must be finite and not negative", name, scale_);
  }

 private:
  const E8pTable& table_;
  int64_t cols_;
  TensorPart codes_;
  float scale_ = 0;
};

}  // namespace

const E8pTable& e8p_table() {
  static const E8pTable table = make_table();
  return table;
}

void decode_e8p(const E8pTable& table, uint16_t code, float* out) {
  const auto& a = table[code >> 8];
  int sum = 0;
  for (const int8_t x : a) sum += x;
  // Each sign changes the sum of a, in halves, by an odd number of twos.
  const uint32_t others = code & 0x7f;
  const auto odd = static_cast<uint32_t>(sum / 2 + std::popcount(others)) & 1;
  const uint32_t signs = others | odd << 7;
  const int shift = (code & 0x80) != 0 ? 1 : -1;
  for (uint32_t i = 0; i < kE8pGroup; ++i) out[i] = static_cast<float>((signs >> i & 1 ? -2 : 2) * a[i] + shift);
}

bool is_e8p_spelling(std::string_view text) { return text == kWord || text.starts_with("e8p-"); }

E8pStorage parse_e8p(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  for (size_t i = 1; i < parts.size(); ++i) {
    if (others == nullptr) misuse("unknown option \"-{}\" in \"{}\": e8p has none", parts[i], text);
    others->push_back(parts[i]);
  }
  return {};
}

std::vector<std::string> e8p_option_names() { return {}; }

double nominal_bits(const E8pStorage&, int64_t rows, int64_t cols) {
  if (rows == 0 || cols == 0) return 2;
  return 16 * static_cast<double>(groups_of(cols)) / static_cast<double>(cols);
}

std::vector<TensorPart> greatest_parts(const E8pStorage&, int64_t rows, int64_t cols) {
  return {{".codes", DType::kU16, {rows, groups_of(cols)}, {}}, {".scale", DType::kF32, {1}, {}}};
}

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const E8pStorage&, int64_t rows, int64_t cols,
                                            const std::vector<TensorPart>& parts) {
  return std::make_unique<E8pMatrix>(name, rows, cols, parts);
}

constinit const FamilyRow kE8pFamily = family_row<E8pStorage, parse_e8p>("vector", is_e8p_spelling, e8p_option_names);

std::vector<std::vector<std::byte>> pack_e8p(std::span<const uint16_t> codes, float scale) {
  std::vector<std::vector<std::byte>> parts(2);
  parts[0].resize(codes.size_bytes());
  std::memcpy(parts[0].data(), codes.data(), codes.size_bytes());
  parts[1].resize(sizeof scale);
  std::memcpy(parts[1].data(), &scale, sizeof scale);
  return parts;
}

}  // namespace bitloom

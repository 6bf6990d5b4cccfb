#include "format/families/sign_rank1/sign_rank1.h"

#include <cmath>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "sign_rank1";

class SignRank1Matrix final : public BaseMatrix {
 public:
  SignRank1Matrix(const std::string& name, const SignRank1Storage& storage, int64_t rows, int64_t cols,
                  const std::vector<TensorPart>& parts)
      : rows_(rows), cols_(cols) {
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    signs_ = checked_part(name, to_string(storage), parts, want[0]);
    row_scales_ = load(checked_part(name, to_string(storage), parts, want[1]));
    col_scales_ = load(checked_part(name, to_string(storage), parts, want[2]));
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<uint8_t> signs(static_cast<size_t>(cols_));
    for (int64_t r = begin; r < end; ++r) {
      unpack_bits(row_of(r), 0, cols_, 1, signs.data());
      const float scale = row_scales_[static_cast<size_t>(r)];
      for (size_t c = 0; c < signs.size(); ++c) {
        const float magnitude = scale * col_scales_[c];
        *out++ = signs[c] != 0 ? magnitude : -magnitude;
      }
    }
  }

  double nominal_bits() const override { return bitloom::nominal_bits(SignRank1Storage{}, rows_, cols_); }

  void check_values(const std::string& name) const override {
    for (int64_t r = 0; r < rows_; ++r) {
      if (padding_is_zero(row_of(r), cols_, 1)) continue;
      fail(ErrorKind::kUnverified, "{}.signs: padding bits of row {} are not zero", name, r);
    }
    check_finite(name, ".row_scales", row_scales_);
    check_finite(name, ".col_scales", col_scales_);
  }

 private:
  static std::vector<float> load(const TensorPart& part) {
    std::vector<float> values(static_cast<size_t>(part.shape[0]));
    decode_to_f32(DType::kF16, part.bytes.data(), 0, part.shape[0], values.data());
    return values;
  }
  static void check_finite(const std::string& name, std::string_view suffix, const std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(values[i])) continue;
      fail(ErrorKind::kUnverified, "{}{}: [{}] is {}, must be finite", name, suffix, i, values[i]);
    }
  }
  const std::byte* row_of(int64_t r) const { return signs_.bytes.data() + r * bitstream_bytes(1, cols_); }

  int64_t rows_, cols_;
  TensorPart signs_;
  std::vector<float> row_scales_, col_scales_;
};

}  // namespace

bool is_sign_rank1_spelling(std::string_view text) {
  return text.starts_with(kWord) && (text.size() == kWord.size() || text[kWord.size()] == '-');
}

SignRank1Storage parse_sign_rank1(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  for (size_t i = 1; i < parts.size(); ++i) {
    if (others == nullptr) misuse("unknown option \"-{}\" in \"{}\"; {} has none", parts[i], text, kWord);
    others->push_back(parts[i]);
  }
  return {};
}

std::string to_string(const SignRank1Storage&) { return std::string(kWord); }
std::vector<std::string> sign_rank1_option_names() { return {}; }

double nominal_bits(const SignRank1Storage&, int64_t rows, int64_t cols) {
  if (rows == 0 || cols == 0) return 1;
  return 1 + 16 / static_cast<double>(rows) + 16 / static_cast<double>(cols);
}

std::vector<TensorPart> greatest_parts(const SignRank1Storage&, int64_t rows, int64_t cols) {
  return {{".signs", DType::kU8, {rows, bitstream_bytes(1, cols)}, {}},
          {".row_scales", DType::kF16, {rows}, {}},
          {".col_scales", DType::kF16, {cols}, {}}};
}

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const SignRank1Storage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<SignRank1Matrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kSignRank1Family =
    family_row<SignRank1Storage, parse_sign_rank1>("sign_rank1", is_sign_rank1_spelling, sign_rank1_option_names);

std::vector<std::vector<std::byte>> pack_sign_rank1(const std::vector<uint8_t>& signs,
                                                    const std::vector<float>& row_scales,
                                                    const std::vector<float>& col_scales) {
  const auto rows = static_cast<int64_t>(row_scales.size()), cols = static_cast<int64_t>(col_scales.size());
  const int64_t row_bytes = bitstream_bytes(1, cols);
  std::vector<std::vector<std::byte>> parts(3);
  parts[0].resize(static_cast<size_t>(rows * row_bytes));
  for (int64_t r = 0; r < rows; ++r) pack_bits(signs.data() + r * cols, cols, 1, parts[0].data() + r * row_bytes);
  parts[1].resize(2 * row_scales.size()), parts[2].resize(2 * col_scales.size());
  encode_from_f32(DType::kF16, row_scales.data(), rows, parts[1].data());
  encode_from_f32(DType::kF16, col_scales.data(), cols, parts[2].data());
  return parts;
}

}  // namespace bitloom

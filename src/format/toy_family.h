#pragma once
// For tests only: a whole base family on one page, the example of HACKING.md's "a base family". "sign": one bit a
// weight and a magnitude per row,
//
//   value(r, c) = +m_r or -m_r
//
// Parts, for W [rows, cols]:
//   .signs       U8 [rows, ceil(cols / 8)]   bitstream rows (packing/bitstream.h), 1: negative
//   .magnitudes  F16 [rows]                  m_r >= 0

#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "format/family.h"
#include "packing/bitstream.h"

namespace bitloom::testing {

/// "sign", without options.
struct SignStorage {
  bool operator==(const SignStorage&) const = default;
};

inline bool is_sign_spelling(std::string_view text) { return text == "sign" || text.starts_with("sign-"); }

inline SignStorage parse_sign(std::string_view text, std::vector<std::string>* others) {
  if (text == "sign") return {};
  const std::string option(text.substr(std::string_view("sign-").size()));
  if (others == nullptr) misuse("unknown option \"-{}\" in \"{}\"; sign has none", option, text);
  others->push_back(option);
  return {};
}

inline std::vector<std::string> sign_option_names() { return {}; }
inline std::string to_string(const SignStorage&) { return "sign"; }
inline double nominal_bits(const SignStorage&, int64_t, int64_t cols) { return 1 + 16 / static_cast<double>(cols); }
inline bool has_fixed_sizes(const SignStorage&) { return true; }
inline std::vector<TensorPart> greatest_parts(const SignStorage&, int64_t rows, int64_t cols) {
  return {{".signs", DType::kU8, {rows, bitstream_bytes(1, cols)}, {}}, {".magnitudes", DType::kF16, {rows}, {}}};
}

class SignMatrix final : public BaseMatrix {
 public:
  SignMatrix(const std::string& name, const SignStorage& storage, int64_t rows, int64_t cols,
             const std::vector<TensorPart>& parts)
      : rows_(rows), cols_(cols) {
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    signs_ = checked_part(name, to_string(storage), parts, want[0]);
    magnitudes_ = checked_part(name, to_string(storage), parts, want[1]);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<uint8_t> negative(static_cast<size_t>(cols_));
    for (int64_t r = begin; r < end; ++r, out += cols_) {
      unpack_bits(row_of(r), 0, cols_, 1, negative.data());
      for (int64_t c = 0; c < cols_; ++c) out[c] = negative[static_cast<size_t>(c)] != 0 ? -magnitude(r) : magnitude(r);
    }
  }

  double nominal_bits() const override { return testing::nominal_bits(SignStorage{}, rows_, cols_); }

  void check_values(const std::string& name) const override {
    for (int64_t r = 0; r < rows_; ++r) {
      if (!std::isfinite(magnitude(r)) || std::signbit(magnitude(r))) {
        fail(ErrorKind::kUnverified, "{}.magnitudes: [{}] is {}, must be finite and not negative", name, r,
             magnitude(r));
      }
      if (padding_is_zero(row_of(r), cols_, 1)) continue;
      fail(ErrorKind::kUnverified, "{}.signs: padding bits of row {} are not zero", name, r);
    }
  }

 private:
  const std::byte* row_of(int64_t r) const { return signs_.bytes.data() + r * bitstream_bytes(1, cols_); }
  float magnitude(int64_t r) const {
    float value = 0;
    decode_to_f32(DType::kF16, magnitudes_.bytes.data(), r, 1, &value);
    return value;
  }

  int64_t rows_, cols_;
  TensorPart signs_, magnitudes_;
};

inline std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const SignStorage& storage, int64_t rows,
                                                   int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<SignMatrix>(name, storage, rows, cols, parts);
}

inline constexpr FamilyRow kSignFamily =
    family_row<SignStorage, parse_sign>("sign", is_sign_spelling, sign_option_names);

/// The bytes of the parts of the nearest such matrix to w [rows, cols]: m_r is the mean of |w| over the row.
inline std::vector<std::vector<std::byte>> pack_signs(const float* w, int64_t rows, int64_t cols) {
  std::vector<std::vector<std::byte>> parts(2);
  parts[0].resize(static_cast<size_t>(rows * bitstream_bytes(1, cols)));
  parts[1].resize(static_cast<size_t>(2 * rows));
  std::vector<uint8_t> negative(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t c = 0; c < cols; ++c) {
      const float value = w[r * cols + c];
      negative[static_cast<size_t>(c)] = std::signbit(value) ? 1 : 0;
      sum += std::abs(value);
    }
    const auto mean = static_cast<float>(cols == 0 ? 0 : sum / static_cast<double>(cols));
    pack_bits(negative.data(), cols, 1, parts[0].data() + r * bitstream_bytes(1, cols));
    encode_from_f32(DType::kF16, &mean, 1, parts[1].data() + 2 * r);
  }
  return parts;
}

}  // namespace bitloom::testing

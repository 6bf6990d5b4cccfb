#include <fmt/format.h>

#include <cctype>
#include <cmath>

#include "base/error.h"
#include "base/text/text.h"
#include "format/families/partial/partial_storage.h"
#include "format/option_words.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "partial";

class PartialMatrix final : public BaseMatrix {
 public:
  PartialMatrix(const std::string& name, const PartialStorage& storage, int64_t rows, int64_t cols,
                const std::vector<TensorPart>& parts)
      : rows_(rows), cols_(cols), starts_{0} {
    const std::string text = to_string(storage);
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    mask_ = checked_part(name, text, parts, want[0]);
    signs_ = checked_part(name, text, parts, want[1]);
    codes_ = bounded_part(name, text, parts, want[2]);
    scales_ = checked_part(name, text, parts, want[3]);
    std::vector<uint8_t> mask(static_cast<size_t>(cols));
    for (int64_t r = 0; r < rows; ++r) {
      unpack_bits(row_of(mask_, r), 0, cols, 1, mask.data());
      int64_t count = 0;
      for (const uint8_t bit : mask) count += bit;
      starts_.push_back(starts_.back() + count);
    }
    if (codes_.shape[0] != starts_.back()) {
      refuse("{}.codes: shape is [{}], the mask needs [{}]", name, codes_.shape[0], starts_.back());
    }
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<uint8_t> mask(static_cast<size_t>(cols_)), signs(mask.size());
    for (int64_t r = begin; r < end; ++r, out += cols_) {
      unpack_bits(row_of(mask_, r), 0, cols_, 1, mask.data());
      unpack_bits(row_of(signs_, r), 0, cols_, 1, signs.data());
      const PartialScales s = scales_of(r);
      const std::byte* code = codes_.bytes.data() + starts_[static_cast<size_t>(r)];
      for (size_t c = 0; c < mask.size(); ++c) {
        out[c] = mask[c] != 0    ? s.low + s.step * static_cast<float>(*code++)
                 : signs[c] != 0 ? s.mu + s.alpha
                                 : s.mu - s.alpha;
      }
    }
  }

  double nominal_bits() const override {
    const double weights = static_cast<double>(rows_) * static_cast<double>(cols_);
    return weights == 0 ? 0 : 1 + 7 * static_cast<double>(starts_.back()) / weights;
  }

  void check_values(const std::string& name) const override {
    for (int64_t r = 0; r < rows_; ++r) {
      for (const TensorPart* part : {&mask_, &signs_}) {
        if (padding_is_zero(row_of(*part, r), cols_, 1)) continue;
        fail(ErrorKind::kUnverified, "{}{}: padding bits of row {} are not zero", name, part->suffix, r);
      }
      const PartialScales s = scales_of(r);
      if (std::isfinite(s.mu) && std::isfinite(s.alpha) && std::isfinite(s.low) && std::isfinite(s.step)) continue;
      fail(ErrorKind::kUnverified, "{}.scales: row {} is not finite", name, r);
    }
  }

 private:
  const std::byte* row_of(const TensorPart& part, int64_t r) const {
    return part.bytes.data() + r * bitstream_bytes(1, cols_);
  }
  PartialScales scales_of(int64_t r) const {
    float values[4];
    decode_to_f32(DType::kF16, scales_.bytes.data(), 4 * r, 4, values);
    return {values[0], values[1], values[2], values[3]};
  }

  int64_t rows_, cols_;
  TensorPart mask_, signs_, codes_, scales_;
  std::vector<int64_t> starts_;  // of the rows in codes_
};

}  // namespace

bool is_partial_spelling(std::string_view text) {
  return text.starts_with(kWord) && text.size() > kWord.size() &&
         std::isdigit(static_cast<unsigned char>(text[kWord.size()])) != 0;
}

PartialStorage parse_partial(std::string_view text, std::vector<std::string>* others) {
  const std::vector<std::string> parts = split(text, '-');
  const auto share = parse_number<double>(std::string_view(parts[0]).substr(kWord.size()));
  if (!share || !(*share >= 0 && *share <= 1)) misuse("\"{}\": a share of the weights from 0 to 1 is masked", text);
  for (size_t i = 1; i < parts.size(); ++i) {
    if (others == nullptr) unknown_option(parts[i], text, {});
    others->push_back(parts[i]);
  }
  return {*share};
}

std::string to_string(const PartialStorage& storage) { return fmt::format("{}{}", kWord, fixed_text(storage.share)); }
std::vector<std::string> partial_option_names() { return {}; }

double nominal_bits(const PartialStorage& storage, int64_t, int64_t) { return 1 + 7 * storage.share; }

std::vector<TensorPart> greatest_parts(const PartialStorage& storage, int64_t rows, int64_t cols) {
  const int64_t row_bytes = bitstream_bytes(1, cols);
  const auto most =
      static_cast<int64_t>(std::ceil(storage.share * static_cast<double>(rows) * static_cast<double>(cols)));
  return {{".mask", DType::kU8, {rows, row_bytes}, {}},
          {".signs", DType::kU8, {rows, row_bytes}, {}},
          {".codes", DType::kU8, {most}, {}},
          {".scales", DType::kF16, {rows, 4}, {}}};
}

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const PartialStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<PartialMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kPartialFamily =
    family_row<PartialStorage, parse_partial>("partial", is_partial_spelling, partial_option_names);

std::vector<std::vector<std::byte>> pack_partial(int64_t rows, int64_t cols, const std::vector<uint8_t>& mask,
                                                 const std::vector<uint8_t>& codes,
                                                 const std::vector<PartialScales>& scales) {
  const int64_t row_bytes = bitstream_bytes(1, cols);
  std::vector<std::vector<std::byte>> parts(2, std::vector<std::byte>(static_cast<size_t>(rows * row_bytes)));
  parts.resize(4);
  std::vector<uint8_t> signs(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < signs.size(); ++c) {
      const size_t i = static_cast<size_t>(r * cols) + c;
      signs[c] = mask[i] != 0 ? 0 : codes[i];
      if (mask[i] != 0) parts[2].push_back(static_cast<std::byte>(codes[i]));
    }
    pack_bits(mask.data() + r * cols, cols, 1, parts[0].data() + r * row_bytes);
    pack_bits(signs.data(), cols, 1, parts[1].data() + r * row_bytes);
    const PartialScales& s = scales[static_cast<size_t>(r)];
    const float values[4] = {s.mu, s.alpha, s.low, s.step};
    parts[3].resize(parts[3].size() + 8);
    encode_from_f32(DType::kF16, values, 4, parts[3].data() + 8 * r);
  }
  return parts;
}

}  // namespace bitloom

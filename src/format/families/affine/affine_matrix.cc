#include "format/families/affine/affine_matrix.h"

#include <cmath>

#include "base/error.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

constexpr int kMostBits = 8;

class AffineMatrix final : public BaseMatrix {
 public:
  AffineMatrix(const std::string& name, const AffineStorage& storage, int64_t rows, int64_t cols,
               const std::vector<TensorPart>& parts)
      : storage_(storage), rows_(rows), cols_(cols), groups_(storage.groups(cols)) {
    const std::string text = to_string(storage);
    for (const TensorPart& want : greatest_parts(storage, rows, cols)) {
      const TensorPart part = checked_part(name, text, parts, want);
      if (want.suffix == ".widths") widths_part_ = part;
      if (want.suffix == ".codes") codes_ = part;
      if (want.suffix == ".scales") scales_ = part;
      if (want.suffix == ".zeros") zeros_ = part;
      if (want.suffix == ".second") second_ = part;
    }
    read_widths(name);
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<uint8_t> codes(static_cast<size_t>(storage_.width(cols_)));
    std::vector<AffineScale> scales(static_cast<size_t>(groups_));
    for (int64_t r = begin; r < end; ++r) {
      scales_of(r, scales);
      const std::byte* row = row_of(codes_, r);
      for (int64_t g = 0; g < groups_; ++g) {
        const int bits = widths_[static_cast<size_t>(g)];
        const int64_t width = storage_.width_of(g, cols_);
        unpack_bits(row, 0, width, bits, codes.data());
        for (int64_t c = 0; c < width; ++c) {
          *out++ = scales[static_cast<size_t>(g)].value(codes[static_cast<size_t>(c)]);
        }
        row += bitstream_bytes(bits, width);
      }
    }
  }

  double nominal_bits() const override { return bitloom::nominal_bits(storage_, rows_, cols_); }

  void check_values(const std::string& name) const override {
    std::vector<AffineScale> scales(static_cast<size_t>(groups_));
    for (int64_t r = 0; r < rows_; ++r) {
      check_padding(name, r);
      scales_of(r, scales);
      for (int64_t g = 0; g < groups_; ++g) {
        const AffineScale& s = scales[static_cast<size_t>(g)];
        const int most = (1 << widths_[static_cast<size_t>(g)]) - 1;
        if (std::isfinite(s.value(0)) && std::isfinite(s.value(most))) continue;
        fail(ErrorKind::kUnverified, "{}.scales: [{}, {}] is {} with zero point {}, its values must be finite", name, r,
             g, s.scale, s.zero);
      }
    }
  }

 private:
  void read_widths(const std::string& name) {
    widths_.assign(static_cast<size_t>(groups_), static_cast<uint8_t>(storage_.bits));
    if (!storage_.mixed) return;
    for (size_t g = 0; g < widths_.size(); ++g) {
      widths_[g] = static_cast<uint8_t>(widths_part_.bytes[g]);
      if (widths_[g] < 1 || widths_[g] > kMostBits) {
        refuse("{}.widths: [{}] is {}, must be 1 to {}", name, g, widths_[g], kMostBits);
      }
    }
    const int64_t bytes = affine_row_bytes(storage_, widths_, cols_);
    if (bytes != codes_.shape[1]) {
      refuse("{}.widths: codes of a row take {} bytes, {} needs {}", name, bytes, to_string(storage_), codes_.shape[1]);
    }
  }

  void check_padding(const std::string& name, int64_t r) const {
    const std::byte* row = row_of(codes_, r);
    for (int64_t g = 0; g < groups_; ++g) {
      const int bits = widths_[static_cast<size_t>(g)];
      const int64_t width = storage_.width_of(g, cols_);
      if (!padding_is_zero(row, width, bits)) {
        fail(ErrorKind::kUnverified, "{}.codes: padding bits of [{}, {}] are not zero", name, r, g);
      }
      row += bitstream_bytes(bits, width);
    }
    for (const TensorPart* part : {&scales_, &zeros_}) {
      if (storage_.second_bits == 0 || padding_is_zero(row_of(*part, r), groups_, storage_.second_bits)) continue;
      fail(ErrorKind::kUnverified, "{}{}: padding bits of row {} are not zero", name, part->suffix, r);
    }
  }

  /// Of row r, [groups].
  void scales_of(int64_t r, std::vector<AffineScale>& scales) const {
    std::vector<float> values(static_cast<size_t>(4 * groups_));
    if (storage_.second_bits == 0) {
      decode_to_f32(DType::kF16, scales_.bytes.data(), r * groups_, groups_, values.data());
      decode_to_f32(DType::kF16, zeros_.bytes.data(), r * groups_, groups_, values.data() + groups_);
      for (size_t g = 0; g < scales.size(); ++g) scales[g] = {values[g], values[g + scales.size()]};
      return;
    }
    std::vector<uint8_t> scale_codes(scales.size()), zero_codes(scales.size());
    unpack_bits(row_of(scales_, r), 0, groups_, storage_.second_bits, scale_codes.data());
    unpack_bits(row_of(zeros_, r), 0, groups_, storage_.second_bits, zero_codes.data());
    decode_to_f32(DType::kF16, second_.bytes.data(), r / storage_.second_rows * 4 * groups_, 4 * groups_,
                  values.data());
    for (size_t g = 0; g < scales.size(); ++g) {
      scales[g].scale_code = scale_codes[g], scales[g].zero_code = zero_codes[g];
      const float* second = values.data() + 4 * g;
      AffineSecond{second[0], second[1], second[2], second[3]}.decode(scales[g]);
    }
  }

  static const std::byte* row_of(const TensorPart& part, int64_t r) { return part.bytes.data() + r * part.shape[1]; }

  AffineStorage storage_;
  int64_t rows_, cols_, groups_;
  TensorPart widths_part_, codes_, scales_, zeros_, second_;
  std::vector<uint8_t> widths_;  // by group
};

void append_f16(std::vector<std::byte>& bytes, float value) {
  bytes.resize(bytes.size() + 2);
  encode_from_f32(DType::kF16, &value, 1, bytes.data() + bytes.size() - 2);
}

/// Scales and zero points of second-level codes, [rows, ceil(groups bits / 8)].
void pack_second(const AffineStorage& storage, int64_t rows, int64_t groups, const AffineValues& values,
                 std::vector<std::byte>& scales, std::vector<std::byte>& zeros, std::vector<std::byte>& seconds) {
  const int64_t row_bytes = bitstream_bytes(storage.second_bits, groups);
  scales.resize(static_cast<size_t>(rows * row_bytes)), zeros.resize(scales.size());
  std::vector<uint8_t> scale_codes(static_cast<size_t>(groups)), zero_codes(scale_codes.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t g = 0; g < scale_codes.size(); ++g) {
      const AffineScale& s = values.scales[static_cast<size_t>(r * groups) + g];
      scale_codes[g] = s.scale_code, zero_codes[g] = s.zero_code;
    }
    pack_bits(scale_codes.data(), groups, storage.second_bits, scales.data() + r * row_bytes);
    pack_bits(zero_codes.data(), groups, storage.second_bits, zeros.data() + r * row_bytes);
  }
  for (const AffineSecond& s : values.seconds) {
    for (const float x : {s.scale_low, s.scale_step, s.zero_low, s.zero_step}) append_f16(seconds, x);
  }
}

}  // namespace

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const AffineStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<AffineMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kAffineFamily =
    family_row<AffineStorage, parse_affine>("affine", is_affine_spelling, affine_option_names);

std::vector<std::vector<std::byte>> pack_affine(const AffineStorage& storage, int64_t rows, int64_t cols,
                                                const AffineValues& values) {
  const int64_t groups = storage.groups(cols);
  std::vector<uint8_t> widths = values.widths;
  if (!storage.mixed) widths.assign(static_cast<size_t>(groups), static_cast<uint8_t>(storage.bits));
  std::vector<std::vector<std::byte>> parts;
  if (storage.mixed) {
    parts.emplace_back();
    for (const uint8_t width : widths) parts.back().push_back(static_cast<std::byte>(width));
  }
  std::vector<std::byte> codes(static_cast<size_t>(rows * affine_row_bytes(storage, widths, cols)));
  const uint8_t* in = values.codes.data();
  std::byte* out = codes.data();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t width = storage.width_of(g, cols);
      pack_bits(in, width, widths[static_cast<size_t>(g)], out);
      in += width, out += bitstream_bytes(widths[static_cast<size_t>(g)], width);
    }
  }
  std::vector<std::byte> scales, zeros, seconds;
  if (storage.second_bits > 0) {
    pack_second(storage, rows, groups, values, scales, zeros, seconds);
  } else {
    for (const AffineScale& s : values.scales) append_f16(scales, s.scale), append_f16(zeros, s.zero);
  }
  for (std::vector<std::byte>* part : {&codes, &scales, &zeros}) parts.push_back(std::move(*part));
  if (storage.second_bits > 0) parts.push_back(std::move(seconds));
  return parts;
}

}  // namespace bitloom

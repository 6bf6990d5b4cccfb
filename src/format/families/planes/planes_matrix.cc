#include "format/families/planes/planes_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "format/minifloat/cast.h"
#include "packing/bitstream.h"

namespace bitloom {
namespace {

using Members = std::vector<float PlaneLevels::*>;

/// What is stored of the levels, in order.
Members stored_members(const PlanesStorage& storage) {
  Members members;
  if (!storage.residual && !storage.zero_mean) members.push_back(&PlaneLevels::mu_c);
  if (!storage.residual) members.push_back(&PlaneLevels::alpha_c);
  if (!storage.residual && !storage.zero_mean) members.push_back(&PlaneLevels::mu_o);
  if (!storage.residual) members.push_back(&PlaneLevels::alpha_o);
  if (!storage.zero_mean) members.push_back(&PlaneLevels::mu_s);
  members.push_back(&PlaneLevels::alpha_1);
  members.push_back(&PlaneLevels::alpha_2);
  return members;
}

uint8_t fp8_code(float x) { return cast_minifloat(kE4M3Fn, x); }

float fp8_value(uint8_t code) {
  float value = 0;
  decode_to_f32(DType::kF8E4M3, reinterpret_cast<const std::byte*>(&code), 0, 1, &value);
  return value;
}

class PlanesMatrix final : public BaseMatrix {
 public:
  PlanesMatrix(const std::string& name, const PlanesStorage& storage, int64_t rows, int64_t cols,
               const std::vector<TensorPart>& parts)
      : storage_(storage), rows_(rows), cols_(cols), members_(stored_members(storage)) {
    const std::string text = to_string(storage);
    const auto part = [&](const TensorPart& want) { return checked_part(name, text, parts, want); };
    const std::vector<TensorPart> want = greatest_parts(storage, rows, cols);
    signs_ = part(want[0]), seconds_ = part(want[1]);
    salient_.assign(static_cast<size_t>(cols), 1);
    if (!storage.residual) {
      salient_part_ = part(want[2]);
      unpack_bits(salient_part_.bytes.data(), 0, cols, 1, salient_.data());
    }
    levels_ = part(want[storage.residual ? 2 : 3]);
    if (storage.fp8) scales_ = part(want.back());
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    std::vector<uint8_t> signs(static_cast<size_t>(cols_)), seconds(signs.size());
    for (int64_t r = begin; r < end; ++r, out += cols_) {
      unpack_bits(row_of(signs_, r), 0, cols_, 1, signs.data());
      unpack_bits(row_of(seconds_, r), 0, cols_, 1, seconds.data());
      for (int64_t b = 0; b < storage_.blocks(cols_); ++b) {
        float value[2][4];
        levels_of(r, b).values(value);
        const int64_t width = storage_.width(cols_), last = std::min(cols_, (b + 1) * width);
        for (auto c = static_cast<size_t>(b * width); c < static_cast<size_t>(last); ++c) {
          out[c] = value[salient_[c]][2 * seconds[c] + signs[c]];
        }
      }
    }
  }

  double nominal_bits() const override {
    const auto salient = std::count(salient_.begin(), salient_.end(), uint8_t{1});
    return cols_ == 0 ? 0 : 1 + static_cast<double>(salient) / static_cast<double>(cols_);
  }

  void check_values(const std::string& name) const override {
    for (const TensorPart* part : {&signs_, &seconds_, &salient_part_}) {
      for (int64_t r = 0; r < (part->shape.empty() ? 0 : part->shape[0]); ++r) {
        if (padding_is_zero(row_of(*part, r), cols_, 1)) continue;
        fail(ErrorKind::kUnverified, "{}{}: padding bits of row {} are not zero", name, part->suffix, r);
      }
    }
    check_finite(name, levels_);
    if (storage_.fp8) check_finite(name, scales_);
  }

 private:
  const std::byte* row_of(const TensorPart& part, int64_t r) const {
    return part.bytes.data() + r * bitstream_bytes(1, cols_);
  }
  static void check_finite(const std::string& name, const TensorPart& part) {
    int64_t count = 1;
    for (const int64_t n : part.shape) count *= n;
    std::vector<float> values(static_cast<size_t>(count));
    decode_to_f32(part.dtype, part.bytes.data(), 0, count, values.data());
    for (int64_t i = 0; i < count; ++i) {
      if (std::isfinite(values[static_cast<size_t>(i)])) continue;
      fail(ErrorKind::kUnverified, "{}{}: [{}] is {}, must be finite", name, part.suffix, i,
           values[static_cast<size_t>(i)]);
    }
  }
  PlaneLevels levels_of(int64_t row, int64_t block) const {
    float stored[7], scale = 1;
    const auto count = static_cast<int64_t>(members_.size());
    decode_to_f32(levels_.dtype, levels_.bytes.data(), (row * storage_.blocks(cols_) + block) * count, count, stored);
    if (storage_.fp8) decode_to_f32(DType::kF16, scales_.bytes.data(), row, 1, &scale);
    PlaneLevels levels;
    for (size_t i = 0; i < members_.size(); ++i) levels.*members_[i] = stored[i] * scale;
    return levels;
  }

  PlanesStorage storage_;
  int64_t rows_, cols_;
  Members members_;
  TensorPart signs_, seconds_, salient_part_, levels_, scales_;
  std::vector<uint8_t> salient_;
};

}  // namespace

std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const PlanesStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<PlanesMatrix>(name, storage, rows, cols, parts);
}

constinit const FamilyRow kPlanesFamily =
    family_row<PlanesStorage, parse_planes>("planes", is_planes_spelling, planes_option_names);

void PlaneLevels::values(float value[2][4]) const {
  value[0][0] = mu_c - alpha_c, value[0][1] = mu_c + alpha_c;
  value[0][2] = mu_o - alpha_o, value[0][3] = mu_o + alpha_o;
  value[1][0] = (mu_s - alpha_1) - alpha_2, value[1][1] = (mu_s + alpha_1) - alpha_2;
  value[1][2] = (mu_s - alpha_1) + alpha_2, value[1][3] = (mu_s + alpha_1) + alpha_2;
}

float level_scale(const PlanesStorage& storage, float greatest) {
  return storage.fp8 ? finite_f16(greatest / max_value(kE4M3Fn)) : 1.0f;
}

void round_levels(const PlanesStorage& storage, float scale, PlaneLevels& levels) {
  PlaneLevels rounded;
  for (const auto member : stored_members(storage)) {
    if (!storage.fp8) {
      rounded.*member = finite_f16(levels.*member);
    } else if (scale > 0) {
      rounded.*member = fp8_value(fp8_code(levels.*member / scale)) * scale;
    }
  }
  levels = rounded;
}

std::vector<std::vector<std::byte>> pack_planes(const PlanesStorage& storage, int64_t rows, int64_t cols,
                                                const std::vector<uint8_t>& codes, const std::vector<uint8_t>& salient,
                                                const std::vector<PlaneLevels>& levels,
                                                const std::vector<float>& scales) {
  const Members members = stored_members(storage);
  const int64_t row_bytes = bitstream_bytes(1, cols);
  std::vector<std::vector<std::byte>> parts(2, std::vector<std::byte>(static_cast<size_t>(rows * row_bytes)));
  std::vector<uint8_t> bits(static_cast<size_t>(cols));
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t plane = 0; plane < 2; ++plane) {
      for (size_t c = 0; c < bits.size(); ++c) {
        bits[c] = (codes[static_cast<size_t>(r * cols) + c] >> plane) & 1;
      }
      pack_bits(bits.data(), cols, 1, parts[plane].data() + r * row_bytes);
    }
  }
  if (!storage.residual) {
    parts.emplace_back(static_cast<size_t>(row_bytes));
    pack_bits(salient.data(), cols, 1, parts.back().data());
  }
  std::vector<std::byte> stored;
  for (size_t i = 0; i < levels.size(); ++i) {
    const float scale = storage.fp8 ? scales[i / static_cast<size_t>(storage.blocks(cols))] : 1.0f;
    for (const auto member : members) {
      const float value = scale > 0 ? levels[i].*member / scale : 0.0f;
      if (storage.fp8) {
        stored.push_back(static_cast<std::byte>(fp8_code(value)));
      } else {
        stored.resize(stored.size() + 2);
        encode_from_f32(DType::kF16, &value, 1, stored.data() + stored.size() - 2);
      }
    }
  }
  parts.push_back(std::move(stored));
  if (storage.fp8) {
    parts.emplace_back(static_cast<size_t>(2 * rows));
    encode_from_f32(DType::kF16, scales.data(), rows, parts.back().data());
  }
  return parts;
}

}  // namespace bitloom

#include "format/families/planes/planes_matrix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "format/minifloat/cast.h"
#include "packing/bitstream.h"
#include "packing/plane_layout.h"

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
    codes_ = part(want[0]);
    salient_.assign(static_cast<size_t>(cols), 1);
    if (!storage.residual) {
      salient_part_ = part(want[1]);
      unpack_bits(salient_part_.bytes.data(), 0, cols, 1, salient_.data());
    }
    levels_ = part(want[storage.residual ? 1 : 2]);
    if (storage.fp8) scales_ = part(want.back());
    layout_.emplace(salient_, storage.width(cols));
  }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end; ++r, out += cols_) {
      const std::byte* tile = codes_.bytes.data() + r / kTileRows * layout_->tile_bytes;
      for (size_t b = 0; b < layout_->blocks.size(); ++b) {
        const PlaneLayout::Block& block = layout_->blocks[b];
        float value[2][4];
        levels_of(r, static_cast<int64_t>(b)).values(value);
        const int32_t* columns = layout_->order.data() + block.first;
        for (int64_t i = 0; i < block.columns; i += 8) {
          auto sign = std::to_integer<unsigned>(tile[plane_place(block, r % kTileRows, i, 0)]);
          auto second = std::to_integer<unsigned>(tile[plane_place(block, r % kTileRows, i, 1)]);
          for (int64_t k = i; k < std::min(block.columns, i + 8); ++k, sign >>= 1, second >>= 1) {
            out[columns[k]] = value[k < block.plain ? 0 : 1][2 * (second & 1) + (sign & 1)];
          }
        }
      }
    }
  }

  double nominal_bits() const override {
    const auto salient = std::count(salient_.begin(), salient_.end(), uint8_t{1});
    return cols_ == 0 ? 0 : 1 + static_cast<double>(salient) / static_cast<double>(cols_);
  }

  void check_values(const std::string& name) const override {
    if (!storage_.residual && !bitloom::padding_is_zero(salient_part_.bytes.data(), cols_, 1)) {
      fail(ErrorKind::kUnverified, "{}.salient: padding bits are not zero", name);
    }
    if (!padding_is_zero()) fail(ErrorKind::kUnverified, "{}.codes: padding is not zero", name);
    check_finite(name, levels_);
    if (storage_.fp8) check_finite(name, scales_);
  }

 private:
  /// Bits of rows and columns beyond the matrix.
  bool padding_is_zero() const {
    int64_t set = 0, within = 0;
    for (const std::byte byte : codes_.bytes) set += std::popcount(std::to_integer<unsigned>(byte));
    for (int64_t r = 0; r < rows_; ++r) {
      const std::byte* tile = codes_.bytes.data() + r / kTileRows * layout_->tile_bytes;
      for (const PlaneLayout::Block& block : layout_->blocks) {
        for (int64_t i = 0; i < block.columns; i += 8) {
          const unsigned inside = (1u << std::min<int64_t>(8, block.columns - i)) - 1;
          for (int64_t plane = 0; plane < 2; ++plane) {
            const auto byte = std::to_integer<unsigned>(tile[plane_place(block, r % kTileRows, i, plane)]);
            within += std::popcount(byte & inside);
          }
        }
      }
    }
    return set == within;
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
    const int64_t first = (row / kTileRows * storage_.blocks(cols_) + block) * count;
    for (int64_t i = 0; i < count; ++i) {
      decode_to_f32(levels_.dtype, levels_.bytes.data(), (first + i) * kTileRows + row % kTileRows, 1, stored + i);
    }
    if (storage_.fp8) decode_to_f32(DType::kF16, scales_.bytes.data(), row, 1, &scale);
    PlaneLevels levels;
    for (size_t i = 0; i < members_.size(); ++i) levels.*members_[i] = stored[i] * scale;
    return levels;
  }

  PlanesStorage storage_;
  int64_t rows_, cols_;
  Members members_;
  TensorPart codes_, salient_part_, levels_, scales_;
  std::vector<uint8_t> salient_;
  std::optional<PlaneLayout> layout_;
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

std::array<int8_t, 7> level_places(const PlanesStorage& storage) {
  constexpr float PlaneLevels::*kAll[] = {&PlaneLevels::mu_c,    &PlaneLevels::alpha_c, &PlaneLevels::mu_o,
                                          &PlaneLevels::alpha_o, &PlaneLevels::mu_s,    &PlaneLevels::alpha_1,
                                          &PlaneLevels::alpha_2};
  const Members stored = stored_members(storage);
  std::array<int8_t, 7> places;
  for (size_t i = 0; i < places.size(); ++i) {
    const auto found = std::find(stored.begin(), stored.end(), kAll[i]);
    places[i] = static_cast<int8_t>(found == stored.end() ? -1 : found - stored.begin());
  }
  return places;
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
                                                const std::vector<float>& scales, ThreadPool* threads) {
  const Members members = stored_members(storage);
  const PlaneLayout layout(storage.residual ? std::vector<uint8_t>(static_cast<size_t>(cols), 1) : salient,
                           storage.width(cols));
  const int64_t tiles = tiles_of(rows), blocks = storage.blocks(cols), count = storage.levels();
  std::vector<std::vector<std::byte>> parts(1, std::vector<std::byte>(static_cast<size_t>(tiles * layout.tile_bytes)));
  const auto pack_tile = [&](int64_t t) {
    std::byte* tile = parts[0].data() + t * layout.tile_bytes;
    for (int64_t r = t * kTileRows; r < std::min(rows, (t + 1) * kTileRows); ++r) {
      for (const PlaneLayout::Block& block : layout.blocks) {
        for (int64_t i = 0; i < block.columns; ++i) {
          const int code = codes[static_cast<size_t>(r * cols + layout.order[static_cast<size_t>(block.first + i)])];
          for (int plane = 0; plane < 2; ++plane) {
            tile[plane_place(block, r % kTileRows, i, plane)] |=
                static_cast<std::byte>(((code >> plane) & 1) << (i % 8));
          }
        }
      }
    }
  };
  if (threads != nullptr) {
    threads->parallel_for(tiles, pack_tile);
  } else {
    for (int64_t t = 0; t < tiles; ++t) pack_tile(t);
  }
  if (!storage.residual) {
    parts.emplace_back(static_cast<size_t>(bitstream_bytes(1, cols)));
    pack_bits(salient.data(), cols, 1, parts.back().data());
  }
  std::vector<float> stored(static_cast<size_t>(tiles * blocks * count * kTileRows), 0);
  for (int64_t r = 0; r < rows; ++r) {
    const float scale = storage.fp8 ? scales[static_cast<size_t>(r)] : 1.0f;
    for (int64_t b = 0; b < blocks && scale > 0; ++b) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = ((r / kTileRows * blocks + b) * count + i) * kTileRows + r % kTileRows;
        stored[static_cast<size_t>(at)] =
            levels[static_cast<size_t>(r * blocks + b)].*members[static_cast<size_t>(i)] / scale;
      }
    }
  }
  parts.emplace_back(stored.size() * (storage.fp8 ? 1 : 2));
  if (storage.fp8) {
    std::transform(stored.begin(), stored.end(), parts.back().begin(),
                   [](float value) { return static_cast<std::byte>(fp8_code(value)); });
  } else {
    encode_from_f32(DType::kF16, stored.data(), static_cast<int64_t>(stored.size()), parts.back().data());
  }
  if (storage.fp8) {
    parts.emplace_back(static_cast<size_t>(2 * rows));
    encode_from_f32(DType::kF16, scales.data(), rows, parts.back().data());
  }
  return parts;
}

}  // namespace bitloom

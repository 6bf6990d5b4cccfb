#include "format/side/frame.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "format/option_words.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "frame";
constexpr uint64_t kInStream = 0x696E, kOutStream = 0x6F7574;  // "in", "out"
constexpr int64_t kMostBlock = 4096;
constexpr std::string_view kWholeWord = "full";

enum Slot { kIn, kOut, kSeed, kInScales, kOutScales };

template <int64_t FrameStorage::*kBlock>
bool set_block(std::string_view text, FrameStorage& storage) {
  const auto size = parse_number<int64_t>(text);
  if (!size || *size < 2 || *size > kMostBlock || !std::has_single_bit(static_cast<uint64_t>(*size))) return false;
  storage.*kBlock = *size;
  return true;
}

bool set_in_block(std::string_view text, FrameStorage& storage) {
  if (text != kWholeWord) return set_block<&FrameStorage::in_block>(text, storage);
  storage.in_block = kWholeWidth;
  return true;
}

bool set_seed(std::string_view text, FrameStorage& storage) {
  const auto seed = parse_number<uint64_t>(text);
  storage.seed = seed.value_or(0);
  return seed.has_value();
}

constexpr OptionWord<FrameStorage> kWords[] = {
    {"inscales", kInScales, assign<&FrameStorage::in_scales, true>},
    {"outscales", kOutScales, assign<&FrameStorage::out_scales, true>},
};
constexpr OptionPrefix<FrameStorage> kPrefixes[] = {
    {"in", kIn, set_in_block, "inN (a power of two from 2 to 4096, or full)"},
    {"out", kOut, set_block<&FrameStorage::out_block>, "outN (a power of two from 2 to 4096)"},
    {"seed", kSeed, set_seed, "seedS (an integer from 0)"},
};

std::vector<float> load_scales(const TensorPart& part) {
  std::vector<float> scales(static_cast<size_t>(part.shape[0]));
  decode_to_f32(part.dtype, part.bytes.data(), 0, part.shape[0], scales.data());
  return scales;
}

void check_scales(const std::string& name, const std::vector<float>& scales) {
  for (size_t i = 0; i < scales.size(); ++i) {
    if (std::isfinite(scales[i])) continue;
    fail(ErrorKind::kUnverified, "{}: [{}] is {}, must be finite", name, i, scales[i]);
  }
}

class FrameView final : public SideView {
 public:
  FrameView(const std::string& name, const FrameStorage& storage, int64_t rows, int64_t cols,
            const std::vector<TensorPart>& parts)
      : cols_(cols), nominal_bits_(bitloom::nominal_bits(storage, rows, cols)) {
    if (storage.in_block == kWholeWidth) check_whole_width(name, cols);
    if (storage.in_block > 0) in_ = in_rotation(storage, cols);
    if (storage.out_block > 0) out_ = out_rotation(storage, rows);
    for (const TensorPart& want : greatest_parts(storage, rows, cols)) {
      std::vector<float> scales = load_scales(checked_part(name, to_string(storage), parts, want));
      (want.suffix == ".in_scales" ? in_scales_ : out_scales_) = std::move(scales);
    }
  }

  int64_t row_block() const override { return out_ ? out_->block() : 1; }

  void apply(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end; ++r) {
      float* row = out + (r - begin) * cols_;
      if (in_) in_->rotate_back(row, 0, cols_, 1);
      for (size_t c = 0; c < in_scales_.size(); ++c) row[c] *= in_scales_[c];
    }
    if (out_) out_->rotate_back(out, begin, end, cols_);
    for (int64_t r = begin; r < end && !out_scales_.empty(); ++r) {
      float* row = out + (r - begin) * cols_;
      for (int64_t c = 0; c < cols_; ++c) row[c] *= out_scales_[static_cast<size_t>(r)];
    }
  }

  double nominal_bits() const override { return nominal_bits_; }

  void check_values(const std::string& name) const override {
    check_scales(name + ".in_scales", in_scales_);
    check_scales(name + ".out_scales", out_scales_);
  }

 private:
  int64_t cols_;
  double nominal_bits_;
  std::optional<BlockRotation> in_, out_;
  std::vector<float> in_scales_, out_scales_;  // empty: none
};

}  // namespace

FrameStorage parse_frame(std::string_view text, std::string_view whole) {
  const std::vector<std::string> known = {"inN", "outN", "seedS", "inscales", "outscales"};
  const std::vector<std::string> options = split(text, '-');
  if (options[0] != kWord) misuse("\"+{}\" in \"{}\" should be +{}", text, whole, kWord);
  FrameStorage storage;
  OptionReader<FrameStorage> reader(whole, kWords, kPrefixes, known);
  for (size_t i = 1; i < options.size(); ++i) {
    if (!reader.read(options[i], storage)) unknown_option(options[i], whole, known);
  }
  if (!storage.present()) misuse("\"+{}\" in \"{}\" needs one of -inN -outN -inscales -outscales", text, whole);
  if (storage.seed != 0 && storage.in_block == 0 && storage.out_block == 0) {
    misuse("\"-seed{}\" in \"{}\" is for rotations; add -inN or -outN", storage.seed, whole);
  }
  return storage;
}

std::string to_string(const FrameStorage& storage) {
  std::string text(kWord);
  if (storage.in_block == kWholeWidth) text += fmt::format("-in{}", kWholeWord);
  if (storage.in_block > 0 && storage.in_block != kWholeWidth) text += fmt::format("-in{}", storage.in_block);
  if (storage.out_block > 0) text += fmt::format("-out{}", storage.out_block);
  if (storage.seed != 0) text += fmt::format("-seed{}", storage.seed);
  if (storage.in_scales) text += "-inscales";
  if (storage.out_scales) text += "-outscales";
  return text;
}

double nominal_bits(const FrameStorage& storage, int64_t rows, int64_t cols) {
  const double in = storage.in_scales && rows > 0 ? 16 / static_cast<double>(rows) : 0;
  const double out = storage.out_scales && cols > 0 ? 16 / static_cast<double>(cols) : 0;
  return in + out;
}

std::vector<TensorPart> greatest_parts(const FrameStorage& storage, int64_t rows, int64_t cols) {
  std::vector<TensorPart> parts;
  if (storage.in_scales) parts.push_back({".in_scales", DType::kF16, {cols}, {}});
  if (storage.out_scales) parts.push_back({".out_scales", DType::kF16, {rows}, {}});
  return parts;
}

BlockRotation in_rotation(const FrameStorage& storage, int64_t cols) {
  return {cols, storage.in_block, storage.seed, kInStream};
}

BlockRotation out_rotation(const FrameStorage& storage, int64_t rows) {
  return {rows, storage.out_block, storage.seed, kOutStream};
}

std::unique_ptr<const SideView> open_side(const std::string& name, const FrameStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<FrameView>(name, storage, rows, cols, parts);
}

}  // namespace bitloom

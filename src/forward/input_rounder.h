#pragma once
// Activations rounded to a format before they are multiplied.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/threads.h"
#include "format/activations/activation_format.h"
#include "format/side/block_rotation.h"

namespace bitloom {

/// A value that is cheap to copy.
class InputRounder {
 public:
  /// `width`: of the rows, which a rotation is made for; of no meaning to other formats. Error(kFailed) for a format
  /// whose range calibration has yet to find.
  explicit InputRounder(const ActivationFormat& format, int64_t width = 0);
  /// With an encoder that rounds as the format's own does, and does so for integers, too: they have a faster loop.
  InputRounder(ActivationFormat format, std::shared_ptr<const ArrayEncoder> encoder);

  const ActivationFormat& format() const { return format_; }

  /// out [rows, width] = x [rows, width] rounded as ActivationFormat says; out may be x. Values that share a scale are
  /// 0 where the scale is 0 or, in fp32, below the normal numbers, and NaN where one of them is not finite, so that it
  /// is seen (a row, where all tokens share a scale that was found beforehand).
  /// Where channels are shifted, `width` is their number.
  /// `scales` [rows], or null: becomes each row's s, of a format with has_token_scales().
  /// `place`: of a format that rotates, whether out is turned back or left as it was rounded, Q out.
  enum class Coordinates { kOwn, kRotated };
  void round(const float* x, int64_t rows, int64_t width, float* out, ThreadPool& threads, float* scales = nullptr,
             Coordinates place = Coordinates::kOwn) const;
  /// One row, of a format whose rows do not see each other: of no range for all tokens of a pass (asserted).
  void round_row(const float* x, int64_t width, float* out) const;

  /// Whether values may lie beyond what the levels cover: of a range that was found beforehand, or clipped.
  bool clips() const { return fixed_.has_value() || format_.clip < 1; }
  /// Whether round_adjoint() leaves all as it is.
  bool passes_gradients() const { return !clips() && reassembly_.empty(); }
  /// The adjoint of round() straight through rounding: dx [rows, width] stays, but for values of x [rows, width] beyond
  /// what the levels cover, where it becomes 0 (of a format that rotates, in rotated coordinates; of one that moves
  /// channels, of those that are rounded). The largest value of a block whose scale is a power of two counts as
  /// covered, whatever its mode makes of it.
  void round_adjoint(const float* x, int64_t rows, int64_t width, float* dx, ThreadPool& threads) const;

  /// Whether a row is s q, q integers up to 127, with a scale s of its own, where it is rounded (rotated, of a format
  /// that rotates): what kernels of 8-bit inputs can keep.
  bool has_token_scales() const;
  bool rotates() const { return rotation_ != nullptr; }
  /// What is made of a row's channels before they are rounded.
  const Reassembly& reassembly() const { return reassembly_; }

 private:
  using Scale = ActivationScale;
  struct Covered {  // by the levels
    float low = 0, high = 0;
  };
  bool prepares() const { return rotation_ != nullptr || !reassembly_.empty(); }
  void prepare(float* row, int64_t width) const;
  Scale round_groups(const float* x, int64_t width, const std::optional<Scale>& of_all, float* out) const;
  void stagger(float step, int64_t begin, int64_t count, float* row) const;
  void round_run(const float* x, int64_t count, Scale scale, float* out) const;
  void round_integers(const float* x, int64_t count, Scale scale, float* out) const;
  Covered covered(const float* x, int64_t count) const;
  void clip_groups(const float* x, int64_t width, const std::optional<Covered>& of_all, float* dx) const;
  Scale scale_of(const float* x, int64_t count) const;
  Scale outer_scale(const float* x, int64_t width) const;
  Scale group_scale(const float* x, int64_t count, Scale outer) const;

  ActivationFormat format_;
  std::shared_ptr<const ArrayEncoder> encoder_;
  std::shared_ptr<const BlockRotation> rotation_;  // null: values are rounded as they are
  Reassembly reassembly_;
  FormatLimits limits_;
  std::optional<Covered> steps_;             // of symmetric integers, in scales: the outermost levels
  float reaches_below_ = 1;                  // the lowest level of a symmetric format over the greatest, less its sign
  float least_;                              // scales below it are none
  std::optional<Scale> fixed_;               // found beforehand
  std::vector<float> up_, down_;             // [channels]: 2^b and 2^-b of shifts; empty without
  std::vector<Reassembly::Offset> offsets_;  // of staggered parts, in scales
};

}  // namespace bitloom

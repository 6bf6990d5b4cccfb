#pragma once
// Activations rounded to a format before they are multiplied.

#include <cstdint>
#include <memory>

#include "base/threads.h"
#include "format/activation_format.h"

namespace bitloom {

/// A value that is cheap to copy.
class InputRounder {
 public:
  explicit InputRounder(const ActivationFormat& format);
  /// With an encoder that rounds as the format's own does.
  InputRounder(ActivationFormat format, std::shared_ptr<const ArrayEncoder> encoder);

  const ActivationFormat& format() const { return format_; }

  /// out [rows, width] = x [rows, width] rounded as ActivationFormat says; out may be x. Values that share a scale are
  /// 0 where the scale is 0 or below fp32's normal numbers, and NaN where one of them is not finite, so that it is
  /// seen.
  void round(const float* x, int64_t rows, int64_t width, float* out, ThreadPool& threads) const;

 private:
  void round_run(const float* x, int64_t count, float scale, float* out) const;
  float scale_of(const float* x, int64_t count) const;

  ActivationFormat format_;
  std::shared_ptr<const ArrayEncoder> encoder_;
  float largest_;
};

}  // namespace bitloom

#pragma once
// The mean output error of a quantized layer taken back through its bias (Nagel et al., "Data-free quantization", ICCV
// 2019, equation 16):
//
//   b <- b + (W - Q) E[x]
//
// so that over the data that E[x] was measured on the layer's mean output is what it was.

#include <span>
#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"

namespace bitloom {

/// w and q [out, in], mean_x [in], bias [out] -> [out]. Sums in fp64, rounded to fp32 once; the same for any number of
/// threads. Error(kFailed) when the shapes do not agree or a result is not finite.
std::vector<float> corrected_bias(const RowSource& w, const RowSource& q, std::span<const double> mean_x,
                                  std::span<const float> bias, ThreadPool& threads);

}  // namespace bitloom

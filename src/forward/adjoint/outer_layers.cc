#include "forward/adjoint/outer_layers.h"

#include "forward/layers/norms.h"
#include "forward/row_loop.h"

namespace bitloom {
namespace {

void add_bias(const GradientSink& sink, const std::string& name, const std::vector<float>& dy, int64_t rows) {
  if (sink.vectors == nullptr || name.empty() || rows == 0) return;
  const size_t width = dy.size() / static_cast<size_t>(rows);
  std::vector<double>& sum = (*sink.vectors)[name];
  sum.resize(width);
  for (size_t i = 0; i < dy.size(); ++i) sum[i % width] += dy[i];
}

}  // namespace

std::vector<float> layer_adjoint(const Linear& named, const LinearWeights& layer, const std::vector<float>& x,
                                 const std::vector<float>& dy, int64_t rows, const GradientSink& sink,
                                 ThreadPool& threads) {
  if (sink.linear) sink.linear(named, x, dy);
  if (!layer.bias.empty()) add_bias(sink, named.bias, dy, rows);
  std::vector<float> dx(x.size());
  add_linear_adjoint(layer, dy.data(), rows, dx.data(), threads);
  return dx;
}

void norm_adjoint(const Norm& named, const NormWeights& norm, float* x, const float* dy, int64_t rows, int64_t width,
                  const GradientSink& sink, ThreadPool& threads) {
  const bool wanted = sink.vectors != nullptr;
  RowSums of_weight(wanted ? rows : 0, width), of_bias(wanted ? rows : 0, width);
  for_rows(threads, rows, [&](int64_t row) {
    float* at = x + row * width;
    norm_row_adjoint(norm, 0, width, std::vector<float>(at, at + width).data(), dy + row * width, at,
                     wanted ? of_weight.of(row) : nullptr, wanted ? of_bias.of(row) : nullptr);
  });
  const auto keep = [&](const std::string& name, const RowSums& sums) {
    if (!wanted || name.empty()) return;
    std::vector<double>& sum = (*sink.vectors)[name];
    sum.resize(static_cast<size_t>(width));
    sums.add_to(sum);
  };
  keep(named.weight, of_weight);
  keep(named.bias, of_bias);
}

}  // namespace bitloom

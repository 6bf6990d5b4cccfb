#pragma once
// For tests only: a backward pass's gradients added up, of every tensor by the graph's names.

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "forward/adjoint/gradient_sink.h"
#include "model/model.h"

namespace bitloom::testing {

struct SummedGradients {
  std::map<std::string, std::pair<const Linear*, std::vector<double>>> weights;  // dW [out, in]
  std::map<std::string, std::vector<double>> tables;                             // that rows are looked up in
  VectorGradients vectors;

  /// Adds to these, which must outlive it. `padding`: a token whose row of the embedding is not looked up.
  GradientSink sink(const Model& model, int64_t padding = -1) {
    GradientSink sink;
    sink.vectors = &vectors;
    sink.linear = [this](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
      auto& [named, sum] = weights[linear.weight];
      named = &linear;
      const auto in = static_cast<size_t>(linear.in), out = static_cast<size_t>(linear.out);
      sum.resize(out * in);
      for (size_t row = 0; row < x.size() / in; ++row) {
        for (size_t o = 0; o < out; ++o) {
          const double d = dy[row * out + o];
          for (size_t i = 0; i < in; ++i) sum[o * in + i] += d * x[row * in + i];
        }
      }
    };
    sink.looked_up = [this, &model, padding](const std::string& table, std::span<const int64_t> rows,
                                             std::span<const float> dy) {
      std::vector<double>& sum = tables[table];
      const size_t width = dy.size() / rows.size();
      sum.resize(static_cast<size_t>(model.tensor(table).rows->rows()) * width);
      for (size_t i = 0; i < dy.size(); ++i) {
        if (table == model.graph().embedding && rows[i / width] == padding) continue;
        sum[static_cast<size_t>(rows[i / width]) * width + i % width] += dy[i];
      }
    };
    return sink;
  }
};

}  // namespace bitloom::testing

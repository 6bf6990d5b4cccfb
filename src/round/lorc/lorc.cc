#include "round/lorc/lorc.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/dense_matrix.h"
#include "linalg/gemm.h"
#include "linalg/leading_vectors.h"
#include "round/gptq/gptq.h"
#include "round/nearest/nearest.h"
#include "round/output_error.h"
#include "round/round_matrix.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

Rounding method_of(const LorcRounding& options) {
  return options.codes == LorcRounding::Codes::kGptq ? Rounding(GptqRounding{}) : Rounding(NearestRounding{});
}

Storage without_product(Storage storage) {
  storage.side.low_rank = {};
  return storage;
}

/// A^T [rank, rows] and B [rank, cols], rows of which belong together.
struct Product {
  std::vector<float> a, b;
};

class Compensation {
 public:
  Compensation(const LorcRounding& options, const RoundingProblem& problem, std::shared_ptr<const StoredMatrix> base)
      : options_(options),
        problem_(problem),
        base_(std::move(base)),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        rank_(rank_of(problem.target.storage.side.low_rank, rows_, cols_)),
        w_(TileReader(problem.place, problem.weights, 1, problem.threads).decode_all()) {}

  std::shared_ptr<const StoredMatrix> run(RoundReport& report) {
    std::shared_ptr<const StoredMatrix> compensated = with(product());
    if (!(loss(*compensated) <= loss(*base_))) {
      report.remarks.emplace_back("the low-rank product is 0: in its storage it would lose more than it gains");
      compensated = with({std::vector<float>(static_cast<size_t>(rank_ * rows_)),
                          std::vector<float>(static_cast<size_t>(rank_ * cols_))});
    }
    count_errors(*compensated, report);
    return compensated;
  }

 private:
  Product product() const {
    std::vector<float> e = w_, h;
    const std::vector<float> q = base_->decode_all();
    for (size_t i = 0; i < e.size(); ++i) e[i] -= q[i];
    if (options_.weighted) {
      h.resize(static_cast<size_t>(cols_ * cols_));
      problem_.inputs->moment->copy_to(h.data(), problem_.threads);
    }
    LeadingVectors leading =
        leading_vectors(e.data(), rows_, cols_, h.empty() ? nullptr : h.data(), rank_, problem_.threads);
    Product product{std::move(leading.vectors), std::vector<float>(static_cast<size_t>(rank_ * cols_))};
    sgemm_panels(Transpose::kNo, rank_, cols_, rows_, 1, product.a.data(), e.data(), 0, product.b.data(),
                 problem_.threads);
    for (int64_t k = 0; k < rank_; ++k) balance(product.a.data() + k * rows_, product.b.data() + k * cols_);
    return product;
  }

  /// Both as long as each other, as sqrt(S) on either side makes them.
  void balance(float* a, float* b) const {
    double square = 0;
    for (int64_t c = 0; c < cols_; ++c) square += static_cast<double>(b[c]) * static_cast<double>(b[c]);
    const double root = std::sqrt(std::sqrt(square));
    if (root == 0) return;
    for (int64_t r = 0; r < rows_; ++r) a[r] = static_cast<float>(static_cast<double>(a[r]) * root);
    for (int64_t c = 0; c < cols_; ++c) b[c] = static_cast<float>(static_cast<double>(b[c]) / root);
  }

  /// The base with this product beside it.
  std::shared_ptr<const StoredMatrix> with(const Product& product) const {
    Storage storage = base_->spec();
    storage.side.low_rank = problem_.target.storage.side.low_rank;
    std::vector<std::vector<std::byte>> bytes;
    const auto add = [&bytes](const StoredMatrix& matrix) {
      for (const TensorPart& part : matrix.parts()) bytes.emplace_back(part.bytes.begin(), part.bytes.end());
    };
    add(*base_);
    add(*stored_factor(product.a, rows_));
    add(*stored_factor(product.b, cols_));
    return stored_from_bytes(problem_.place, storage, rows_, cols_, std::move(bytes));
  }

  std::shared_ptr<const StoredMatrix> stored_factor(const std::vector<float>& values, int64_t width) const {
    const auto rows = dense_matrix(rank_, width, values);
    const RoundingTarget target{{problem_.target.storage.side.low_rank.factors, {}}, {}};
    return round_matrix(NearestRounding{}, {.place = problem_.place,
                                            .weights = *rows,
                                            .target = target,
                                            .inputs = nullptr,
                                            .shared = problem_.shared,
                                            .ranks = problem_.ranks,
                                            .threads = problem_.threads})
        .matrix;
  }

  double loss(const StoredMatrix& matrix) const {
    if (options_.weighted) {
      return output_error(problem_.weights, matrix, *problem_.inputs->moment, problem_.threads);
    }
    RoundReport report;
    count_errors(matrix, report);
    return report.weight_error;
  }

  void count_errors(const StoredMatrix& matrix, RoundReport& report) const {
    const std::vector<float> q = matrix.decode_all();
    double error = 0, norm = 0, most = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      const double w = w_[i], difference = w - static_cast<double>(q[i]);
      error += difference * difference, norm += w * w, most = std::max(most, std::abs(difference));
    }
    report.weight_error = norm > 0 ? error / norm : 0, report.max_abs_error = most;
  }

  const LorcRounding& options_;
  const RoundingProblem& problem_;
  std::shared_ptr<const StoredMatrix> base_;
  int64_t rows_, cols_, rank_;
  std::vector<float> w_;
};

}  // namespace

Needs needs_of(const LorcRounding& options) {
  Needs needs = needs_of(method_of(options));
  needs.second_moment |= options.weighted;
  return needs;
}

bool rounds_onto(const LorcRounding& options, const Storage& storage) {
  const LowRankStorage& product = storage.side.low_rank;
  return product.present() && rounds_onto(method_of(options), without_product(storage)) &&
         rounds_onto(Rounding(NearestRounding{}), Storage{product.factors, {}});
}

Storage storage_by(const LorcRounding& options, Storage wanted) {
  Storage storage = storage_by(method_of(options), without_product(wanted));
  storage.side.low_rank = wanted.side.low_rank;
  return storage;
}

/// Beside the codes': W, E and what decodes to them, and the moment.
RoundingCost cost_of(const LorcRounding& options, const RoundingShape& shape) {
  RoundingShape of_codes = shape;
  of_codes.target.storage = without_product(shape.target.storage);
  RoundingCost cost = cost_of(method_of(options), of_codes);
  const int64_t vectors = rank_of(shape.target.storage.side.low_rank, shape.rows, shape.cols) + 16;
  const auto rows = static_cast<double>(shape.rows), cols = static_cast<double>(shape.cols);
  cost.flops += 52 * static_cast<double>(vectors) * cols * (2 * rows + (options.weighted ? cols : 0));
  cost.nearest += 3 * rows * cols;
  const int64_t moment = options.weighted ? 4 * shape.cols * shape.cols : 0;
  cost.bytes =
      std::max(cost.bytes, 16 * shape.rows * shape.cols + moment + 4 * vectors * (shape.rows + 2 * shape.cols));
  return cost;
}

Rounded round_by(const LorcRounding& options, const RoundingProblem& problem) {
  RoundingProblem of_codes = problem;
  of_codes.target.storage = without_product(problem.target.storage);
  const Rounding method = method_of(options);
  Rounded rounded = method.row().round(method.options(), of_codes);
  rounded.matrix = Compensation(options, problem, rounded.matrix).run(rounded.report);
  return rounded;
}

namespace {

constexpr std::string_view kCodes[] = {"gptq", "nearest"};
constexpr Option kOptions[] = {
    choice_option<&LorcRounding::codes>("codes", kCodes, "who chooses the codes, before the product is found"),
    flag_option<&LorcRounding::weighted>("weighted",
                                         "the product is the best for the layer's outputs, not its weights"),
};

}  // namespace

constinit const RoundingRow kLorcMethod = rounding_row<LorcRounding>(
    "lorc", kOptions, "low-rank compensation of what codes lose (int4-g128+lowrank8-int8-row)",
    "low-rank compensation (LoRC)");

}  // namespace bitloom

#include "format/side/low_rank.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr std::string_view kWord = "lowrank";
constexpr std::string_view kA = ".low_a", kB = ".low_b";
constexpr int64_t kMostRank = 65536;

/// Those of a factor, under their own names.
std::vector<TensorPart> parts_of(std::string_view factor, const std::vector<TensorPart>& parts) {
  std::vector<TensorPart> own;
  for (const TensorPart& part : parts) {
    if (!part.suffix.starts_with(factor)) continue;
    own.push_back(part);
    own.back().suffix.erase(0, factor.size());
  }
  return own;
}

/// out [n] += factor * b [n].
BITLOOM_VECTOR_CLONES void add_scaled(const float* __restrict b, float factor, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] += factor * b[i];
}

class LowRankView final : public SideView {
 public:
  LowRankView(const std::string& name, const LowRankStorage& storage, int64_t rows, int64_t cols,
              const std::vector<TensorPart>& parts)
      : rows_(rows), cols_(cols), rank_(rank_of(storage, rows, cols)) {
    a_ = storage.factors.open(fmt::format("{}{}", name, kA), rank_, rows, parts_of(kA, parts));
    b_ = storage.factors.open(fmt::format("{}{}", name, kB), rank_, cols, parts_of(kB, parts));
  }

  // One component after the other: what is held does not grow with the rank, and sums do not depend on the run of rows.
  void apply(int64_t begin, int64_t end, float* out) const override {
    std::vector<float> a(static_cast<size_t>(rows_)), b(static_cast<size_t>(cols_));
    for (int64_t k = 0; k < rank_; ++k) {
      a_->decode_rows(k, k + 1, a.data());
      b_->decode_rows(k, k + 1, b.data());
      for (int64_t r = begin; r < end; ++r) {
        add_scaled(b.data(), a[static_cast<size_t>(r)], cols_, out + (r - begin) * cols_);
      }
    }
  }

  double nominal_bits() const override {
    if (rank_ == 0) return 0;
    return a_->nominal_bits() * static_cast<double>(rank_) / static_cast<double>(cols_) +
           b_->nominal_bits() * static_cast<double>(rank_) / static_cast<double>(rows_);
  }

  void check_values(const std::string& name) const override {
    a_->check_values(fmt::format("{}{}", name, kA));
    b_->check_values(fmt::format("{}{}", name, kB));
  }

 private:
  int64_t rows_, cols_, rank_;
  std::unique_ptr<const BaseMatrix> a_, b_;  // A^T [rank, rows], B [rank, cols]
};

}  // namespace

LowRankStorage parse_low_rank(std::string_view text, std::string_view whole) {
  const size_t dash = std::min(text.size(), text.find('-'));
  const auto rank = parse_number<int64_t>(text.substr(kWord.size(), dash - kWord.size()));
  if (!rank || *rank < 1 || *rank > kMostRank || dash == text.size()) {
    misuse("\"+{}\" in \"{}\" should be +{}R-STORAGE, R a rank from 1 to {}, STORAGE the factors', as in +{}8-int8-row",
           text, whole, kWord, kMostRank, kWord);
  }
  return {*rank, BaseStorage::parse(text.substr(dash + 1))};
}

std::string to_string(const LowRankStorage& storage) {
  return fmt::format("{}{}-{}", kWord, storage.rank, storage.factors.to_string());
}

int64_t rank_of(const LowRankStorage& storage, int64_t rows, int64_t cols) {
  return std::min({storage.rank, rows, cols});
}

double nominal_bits(const LowRankStorage& storage, int64_t rows, int64_t cols) {
  const int64_t rank = rank_of(storage, rows, cols);
  if (rank == 0) return 0;
  return storage.factors.nominal_bits(rank, rows) * static_cast<double>(rank) / static_cast<double>(cols) +
         storage.factors.nominal_bits(rank, cols) * static_cast<double>(rank) / static_cast<double>(rows);
}

std::vector<TensorPart> greatest_parts(const LowRankStorage& storage, int64_t rows, int64_t cols) {
  const int64_t rank = rank_of(storage, rows, cols);
  std::vector<TensorPart> parts;
  const auto add = [&](std::string_view factor, int64_t width) {
    for (TensorPart& part : storage.factors.greatest_parts(rank, width)) {
      part.suffix.insert(0, factor);
      parts.push_back(std::move(part));
    }
  };
  add(kA, rows);
  add(kB, cols);
  return parts;
}

std::unique_ptr<const SideView> open_side(const std::string& name, const LowRankStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts) {
  return std::make_unique<LowRankView>(name, storage, rows, cols, parts);
}

}  // namespace bitloom

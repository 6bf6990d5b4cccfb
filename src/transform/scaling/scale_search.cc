#include "transform/scaling/scale_search.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/error.h"
#include "linalg/gemm.h"
#include "transform/scaling/scaled_rows.h"

namespace bitloom {
namespace {

constexpr int64_t kTileRows = 64;
constexpr double kLeast = 1e-4;

const SecondMoment& moment_of(const ChannelGroup& group, const ChannelMoments& all) {
  const auto at = all.find(group.input);
  const bool found = at != all.end() && at->second != nullptr;
  if (found && at->second->channels() == group.channels() && at->second->tokens() > 0) return *at->second;
  fail(ErrorKind::kFailed,
       "searching scales of block {}: the moment of input {} has {} channels and {} tokens, "
       "expected {} channels and some tokens",
       group.readers.front().block, group.readers.front().reads->name, found ? at->second->channels() : 0,
       found ? at->second->tokens() : 0, group.channels());
}

/// Whether it is the input of an expert that no token was sent to.
bool unseen(const ChannelGroup& group, const ChannelMoments& all) {
  if (group.readers.front().reads->expert < 0) return false;
  const auto at = all.find(group.input);
  return at != all.end() && at->second != nullptr && at->second->tokens() == 0;
}

/// What one group's search looks at.
struct Search {
  const ChannelGroup& group;
  const PendingEdits& edits;
  const std::vector<Site> readers;
  const std::vector<float> h;  // [channels, channels]
  const RoundedWeights& rounded;
  ThreadPool& threads;

  double loss(std::span<const float> s) const {
    const std::vector<double> columns = group.spread(s);
    double sum = 0;
    for (const Site& site : readers) {
      sum += scaled_rounding_loss(*edits.matrix(*site.linear), *site.linear, columns, h, rounded, threads);
    }
    return sum;
  }
};

std::vector<float> dense_moment(const SecondMoment& moment, ThreadPool& threads) {
  std::vector<float> h(static_cast<size_t>(moment.channels() * moment.channels()));
  moment.copy_to(h.data(), threads);
  return h;
}

std::vector<double> magnitudes(const ChannelGroup& group, const SecondMoment& moment) {
  std::vector<double> x = group.mean(moment.mean_squares());
  for (double& value : x) value = std::sqrt(value);
  return x;
}

}  // namespace

std::vector<float> magnitude_scales(std::span<const double> x, double ratio) {
  std::vector<double> s;
  s.reserve(x.size());
  for (const double value : x) s.push_back(std::max(std::pow(value, ratio), kLeast));
  const auto [low, high] = std::minmax_element(s.begin(), s.end());
  const double middle = s.empty() ? 1.0 : std::sqrt(*low * *high);
  std::vector<float> result;
  result.reserve(s.size());
  for (const double value : s) result.push_back(static_cast<float>(value / middle));
  return result;
}

double scaled_rounding_loss(const RowSource& w, const Linear& linear, std::span<const double> s,
                            std::span<const float> h, const RoundedWeights& rounded, ThreadPool& threads) {
  const int64_t rows = w.rows(), width = w.cols(), tiles = (rows + kTileRows - 1) / kTileRows;
  assert(static_cast<int64_t>(s.size()) == width && static_cast<int64_t>(h.size()) == width * width);
  // The view does not outlive w.
  const RowSourcePtr unowned(RowSourcePtr(), &w);
  const std::vector<float> q = rounded(*scaled_rows(unowned, {}, {s.begin(), s.end()}), linear);
  std::vector<double> sums(static_cast<size_t>(tiles));
  threads.parallel_for(tiles, [&](int64_t tile) {
    const int64_t begin = tile * kTileRows, count = std::min(kTileRows, rows - begin);
    std::vector<float> difference(static_cast<size_t>(count * width)), product(difference.size());
    w.decode_rows(begin, begin + count, difference.data());
    for (int64_t r = 0; r < count; ++r) {
      const float* back = q.data() + (begin + r) * width;
      float* d = difference.data() + r * width;
      for (int64_t c = 0; c < width; ++c) {
        d[c] = static_cast<float>(static_cast<double>(back[c]) / s[static_cast<size_t>(c)] - static_cast<double>(d[c]));
      }
    }
    sgemm(Transpose::kNo, Transpose::kNo, count, width, width, 1.0f, difference.data(), width, h.data(), width, 0.0f,
          product.data(), width);
    double sum = 0;
    for (size_t i = 0; i < product.size(); ++i) {
      sum += static_cast<double>(difference[i]) * static_cast<double>(product[i]);
    }
    sums[static_cast<size_t>(tile)] = sum;
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

ScaleSearchResult search_block_scales(const Model& model, int block, const ChannelMoments& moments,
                                      const ScaleSearchTransform& transform, const RoundedWeights& rounded,
                                      const SitePredicate& targeted, ThreadPool& threads) {
  if (transform.steps < 1) misuse("awq: steps is {}, expected at least 1", transform.steps);
  ScaleSearchResult result;
  PendingEdits edits(model);
  for (const ChannelGroup& group : channel_groups(model.graph(), block)) {
    std::vector<Site> readers = targeted_readers(group, targeted);
    if (readers.empty() || !group.absorbs()) continue;
    if (unseen(group, moments)) continue;
    const SecondMoment& moment = moment_of(group, moments);
    const Search search{group, edits, std::move(readers), dense_moment(moment, threads), rounded, threads};
    const std::vector<double> x = magnitudes(group, moment);
    std::vector<float> best(x.size(), 1.0f);
    GroupSearch report;
    report.input = group.input;
    report.plain_loss = report.loss = search.loss(best);
    for (int64_t step = 1; step < transform.steps; ++step) {
      const double ratio = static_cast<double>(step) / static_cast<double>(transform.steps);
      std::vector<float> s = magnitude_scales(x, ratio);
      const double loss = search.loss(s);
      if (!(loss < report.loss)) continue;
      report.loss = loss, report.ratio = ratio;
      best = std::move(s);
    }
    if (report.ratio > 0) scale_input(edits, group, best);
    result.groups.push_back(report);
  }
  result.edits = edits.take();
  return result;
}

}  // namespace bitloom

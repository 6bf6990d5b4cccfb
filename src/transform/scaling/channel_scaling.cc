#include "transform/scaling/channel_scaling.h"

#include <cassert>
#include <cmath>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "transform/scaling/scaled_rows.h"

namespace bitloom {
namespace {

void check_scales(const ChannelGroup& group, std::span<const float> s) {
  assert(static_cast<int64_t>(s.size()) == group.scales);
  for (size_t i = 0; i < s.size(); ++i) {
    if (std::isfinite(s[i]) && s[i] > 0.0f) continue;
    fail(ErrorKind::kFailed, "block {}, input {}: scale {} of channel {} is not a finite number > 0",
         group.readers.front().block, group.readers.front().reads->name, s[i], i);
  }
}

std::vector<double> reciprocals(std::span<const float> s) {
  std::vector<double> result;
  result.reserve(s.size());
  for (const float value : s) result.push_back(1.0 / static_cast<double>(value));
  return result;
}

// w' = w / s, or 1 + w' = (1 + w) / s; b' = b / s
void divide(PendingEdits& edits, const NormAbsorber& absorber, std::span<const float> s) {
  const std::vector<double> factors = reciprocals(s);
  const std::string &weight = absorber.norm.weight, &bias = absorber.norm.bias;
  if (adds_one(absorber.kind)) {
    const std::vector<float> old = edits.rows(weight)->decode_all();
    std::vector<double> divided(old.size());
    for (size_t i = 0; i < old.size(); ++i) divided[i] = (1.0 + static_cast<double>(old[i])) * factors[i] - 1.0;
    edits.set(weight, dense_vector(divided));
  } else {
    edits.set(weight, scaled_rows(edits.rows(weight), {}, factors));
  }
  if (!bias.empty()) edits.set(bias, scaled_rows(edits.rows(bias), {}, factors));
}

void divide(PendingEdits& edits, const RowAbsorber& absorber, std::span<const float> s) {
  const Linear& linear = absorber.linear;
  std::vector<double> factors(static_cast<size_t>(linear.out), 1.0);
  for (size_t i = 0; i < s.size(); ++i) {
    factors[static_cast<size_t>(absorber.rows[i])] = 1.0 / static_cast<double>(s[i]);
  }
  edits.set(linear.weight, scaled_rows(edits.matrix(linear), factors, {}));
  if (!linear.bias.empty()) edits.set(linear.bias, scaled_rows(edits.rows(linear.bias), {}, factors));
}

void divide(PendingEdits&, std::monostate, std::span<const float>) { assert(false); }

}  // namespace

void scale_input(PendingEdits& edits, const ChannelGroup& group, std::span<const float> s) {
  assert(group.absorbs());
  check_scales(group, s);
  std::visit([&](const auto& absorber) { divide(edits, absorber, s); }, group.absorber);
  const std::vector<double> columns = group.spread(s);
  for (const Site& site : group.readers) {
    edits.set(site.linear->weight, scaled_rows(edits.matrix(*site.linear), {}, columns));
  }
}

TensorEdits scale_input(const Model& model, const ChannelGroup& group, std::span<const float> s) {
  PendingEdits edits(model);
  scale_input(edits, group, s);
  return edits.take();
}

std::vector<Site> targeted_readers(const ChannelGroup& group, const SitePredicate& targeted) {
  std::vector<Site> sites;
  for (const Site& site : group.readers) {
    if (targeted(site)) sites.push_back(site);
  }
  return sites;
}

}  // namespace bitloom

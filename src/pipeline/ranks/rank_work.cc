#include "pipeline/ranks/rank_work.h"

#include <optional>
#include <utility>

#include "base/memory/plain_bytes.h"

namespace bitloom {
namespace {

Bytes pack(const InputStatistics& statistics) {
  Bytes bytes;
  const ChannelRange& range = statistics.range;
  append(bytes,
         std::vector<int64_t>{range.tokens(), range.dropped_tokens(), statistics.cross ? statistics.cross->tokens() : 0,
                              statistics.half ? statistics.half->moment.tokens() : 0,
                              statistics.half ? statistics.half->moment.dropped_tokens() : 0,
                              statistics.half ? statistics.half->cross.tokens() : 0});
  append(bytes, range.low());
  append(bytes, range.high());
  append(bytes, range.sums());
  if (const auto& histogram = statistics.histogram) {
    append(bytes, histogram->counts());
    append(bytes, std::vector<int64_t>{histogram->exponent()});
    append(bytes, std::vector<float>{histogram->low(), histogram->high()});
  }
  if (!statistics.sample) return bytes;
  append(bytes, statistics.sample->kept());
  append(bytes, statistics.sample->kept_numbers());
  return bytes;
}

Histogram take_histogram(BytesReader& reader) {
  auto counts = reader.take<int64_t>();
  const int64_t exponent = reader.take<int64_t>().at(0);
  const std::vector<float> extremes = reader.take<float>();
  return Histogram::restore(std::move(counts), exponent, extremes.at(0), extremes.at(1));
}

}  // namespace

std::vector<std::vector<double>> made_by_ranks(int64_t count, Ranks& ranks,
                                               const std::function<std::vector<double>(int64_t)>& make) {
  Bytes mine;
  const RankShare share = share_of(ranks, count);
  for (int64_t i = share.begin; i < share.end; ++i) append(mine, make(i));
  std::vector<std::vector<double>> all;
  for (const Bytes& bytes : ranks.gather(mine)) {
    for (BytesReader reader(bytes); !reader.at_end();) all.push_back(reader.take<double>());
  }
  return all;
}

void sum_over_ranks(InputStatistics& statistics, Ranks& ranks) {
  if (ranks.size() == 1) return;
  const int64_t channels = statistics.channels();
  enum { kTokens, kDropped, kCrossTokens, kHalfTokens, kHalfDropped, kHalfCrossTokens, kCounts };  // as packed
  std::vector<int64_t> counts(kCounts);
  ChannelRange range(channels);
  std::optional<Histogram> histogram;
  std::optional<TokenSample> sample;
  if (statistics.sample) sample.emplace(channels, statistics.sample->most());
  for (const Bytes& bytes : ranks.gather(pack(statistics))) {
    BytesReader reader(bytes);
    const std::vector<int64_t> more = reader.take<int64_t>();
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += more.at(i);
    std::vector<float> low = reader.take<float>(), high = reader.take<float>();
    std::vector<double> sums = reader.take<double>();
    range.merge(ChannelRange::restore(std::move(low), std::move(high), std::move(sums), more[0], more[1]));
    if (statistics.histogram) {
      const Histogram part = take_histogram(reader);
      if (!histogram) histogram.emplace(static_cast<int64_t>(part.counts().size()));
      histogram->merge(part);
    }
    if (!sample) continue;
    const std::vector<float> rows = reader.take<float>();
    sample->add(rows.data(), reader.take<int64_t>());
  }
  statistics.range = std::move(range);
  statistics.histogram = std::move(histogram);
  statistics.sample = std::move(sample);

  const auto sum_moment = [&](SecondMoment& moment, int64_t tokens, int64_t dropped) {
    std::vector<double> tiles = std::move(moment).tiles();
    ranks.sum_in_rank_order(std::span(tiles));
    moment = SecondMoment::restore(channels, tokens, dropped, std::move(tiles));
  };
  const auto sum_cross = [&](CrossMoment& cross, int64_t tokens) {
    std::vector<float> products = std::move(cross).sums();
    ranks.sum_in_rank_order(std::span(products));
    cross = CrossMoment::restore(channels, tokens, std::move(products));
  };
  if (statistics.moment) sum_moment(*statistics.moment, counts[kTokens], counts[kDropped]);
  if (statistics.cross) sum_cross(*statistics.cross, counts[kCrossTokens]);
  if (!statistics.half) return;
  sum_moment(statistics.half->moment, counts[kHalfTokens], counts[kHalfDropped]);
  sum_cross(statistics.half->cross, counts[kHalfCrossTokens]);
}

}  // namespace bitloom

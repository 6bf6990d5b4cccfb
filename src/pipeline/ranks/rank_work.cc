#include "pipeline/ranks/rank_work.h"

#include <utility>

#include "base/plain_bytes.h"

namespace bitloom {
namespace {

Bytes pack(const InputStatistics& statistics) {
  Bytes bytes;
  const ChannelRange& range = statistics.range;
  append(bytes, std::vector<int64_t>{range.tokens(), range.dropped_tokens(),
                                     statistics.cross ? statistics.cross->tokens() : 0});
  append(bytes, range.low());
  append(bytes, range.high());
  append(bytes, range.sums());
  return bytes;
}

}  // namespace

void sum_over_ranks(InputStatistics& statistics, Ranks& ranks) {
  if (ranks.size() == 1) return;
  const int64_t channels = statistics.channels();
  std::vector<int64_t> counts(3);
  ChannelRange range(channels);
  for (const Bytes& bytes : ranks.gather(pack(statistics))) {
    BytesReader reader(bytes);
    const std::vector<int64_t> more = reader.take<int64_t>();
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += more.at(i);
    std::vector<float> low = reader.take<float>(), high = reader.take<float>();
    std::vector<double> sums = reader.take<double>();
    range.merge(ChannelRange::restore(std::move(low), std::move(high), std::move(sums), more[0], more[1]));
  }
  statistics.range = std::move(range);

  if (statistics.moment) {
    std::vector<double> tiles = std::move(*statistics.moment).tiles();
    ranks.sum_in_rank_order(std::span(tiles));
    statistics.moment = SecondMoment::restore(channels, counts[0], counts[1], std::move(tiles));
  }
  if (!statistics.cross) return;
  std::vector<float> products = std::move(*statistics.cross).sums();
  ranks.sum_in_rank_order(std::span(products));
  statistics.cross = CrossMoment::restore(channels, counts[2], std::move(products));
}

}  // namespace bitloom

#include "pipeline/rank_work.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pipeline/plain_bytes.h"
#include "round/output_error.h"

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

Bytes pack(const FeedbackPart& part) {
  Bytes bytes;
  append(bytes, std::vector<int64_t>{part.rows.begin, part.rows.end});
  append(bytes, part.codes);
  append(bytes, part.scales);
  append(bytes, part.tiles);
  return bytes;
}

FeedbackPart unpack_part(const Bytes& bytes) {
  BytesReader reader(bytes);
  const std::vector<int64_t> rows = reader.take<int64_t>();
  FeedbackPart part;
  part.rows = {rows.at(0), rows.at(1)};
  part.codes = reader.take<uint8_t>();
  part.scales = reader.take<GroupScale>();
  part.tiles = reader.take<FeedbackTile>();
  return part;
}

RowRange tile_rows_of(const Ranks& ranks, int64_t rows) {
  const RankShare tiles = share_of(ranks, (rows + kFeedbackTileRows - 1) / kFeedbackTileRows);
  return {std::min(rows, tiles.begin * kFeedbackTileRows), std::min(rows, tiles.end * kFeedbackTileRows)};
}

/// Some rows of a matrix.
class RowsBetween final : public RowSource {
 public:
  RowsBetween(const RowSource& all, RankShare rows) : all_(all), rows_(rows) {}
  int64_t rows() const override { return rows_.end - rows_.begin; }
  int64_t cols() const override { return all_.cols(); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    all_.decode_rows(rows_.begin + begin, rows_.begin + end, out);
  }
  int64_t stored_bytes() const override { return all_.stored_bytes(); }
  std::string storage() const override { return all_.storage(); }

 private:
  const RowSource& all_;
  RankShare rows_;
};

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

std::shared_ptr<const StoredMatrix> quantize_with_feedback(const std::string& name, const RowSource& w,
                                                           const GridTarget& target, const FeedbackFactor& factor,
                                                           bool static_groups, Ranks& ranks, ThreadPool& threads,
                                                           FeedbackReport& report) {
  if (ranks.size() == 1) return quantize_with_feedback(name, w, target, factor, static_groups, threads, &report);
  const FeedbackBase base = make_feedback_base(name, w, target, factor, static_groups, threads);
  const FeedbackPart mine = quantize_rows_with_feedback(w, base, factor, tile_rows_of(ranks, w.rows()), threads);
  std::vector<FeedbackPart> parts;
  for (const Bytes& bytes : ranks.gather(pack(mine))) parts.push_back(unpack_part(bytes));
  return merge_feedback_parts(name, base, factor, std::move(parts), &report);
}

std::optional<double> relative_output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment,
                                            Ranks& ranks, ThreadPool& threads) {
  const RankShare rows = share_of(ranks, w.rows());
  const RowsBetween some_w(w, rows), some_q(q, rows);
  std::array<double, 2> sums = {output_error(some_w, some_q, moment, threads), output_energy(some_w, moment, threads)};
  ranks.sum_in_rank_order(std::span<double>(sums));
  if (sums[1] > 0) return sums[0] / sums[1];
  return std::nullopt;
}

}  // namespace bitloom

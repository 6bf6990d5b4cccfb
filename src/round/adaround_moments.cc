// The moments as calibration hands them over; a file of its own, so that the loss needs no more than dense matrices.
#include "base/error.h"
#include "round/adaround.h"

namespace bitloom {

std::shared_ptr<const StoredMatrix> quantize_learned(const std::string& name, const RowSource& w,
                                                     const GridTarget& target, const SecondMoment& moment,
                                                     const CrossMoment* cross, const LearnedRounding& options,
                                                     ThreadPool& threads, LearnedReport* report) {
  if (moment.tokens() == 0) fail(ErrorKind::kFailed, "{}: no token was seen", name);
  const int64_t d = moment.channels();
  if (cross != nullptr && cross->channels() != d) {
    fail(ErrorKind::kFailed, "{}: second moment of {} channels, cross moment of {}", name, d, cross->channels());
  }
  std::vector<float> second(static_cast<size_t>(d * d)), difference;
  moment.copy_to(second.data(), threads);
  LayerStatistics layer{d, second.data(), nullptr};
  if (cross != nullptr && cross->tokens() > 0) {
    difference.resize(second.size());
    cross->copy_to(difference.data(), threads);
    layer.cross = difference.data();
  }
  return quantize_learned(name, w, target, layer, options, threads, report);
}

}  // namespace bitloom

#include "forward/pass.h"

#include <algorithm>
#include <cassert>

namespace bitloom {

Pass Pass::whole(int64_t batch, int64_t length) {
  Pass pass;
  for (int64_t s = 0; s < batch; ++s) {
    const KvRun own{{}, s * length, length};
    pass.add(length, 0, length, {&own, 1});
  }
  return pass;
}

void Pass::clear() {
  sequences_.clear(), runs_.clear(), positions_.clear();
  reach_ = length_ = 0;
}

void Pass::add(int64_t rows, int64_t position, int64_t length, std::span<const KvRun> runs) {
  [[maybe_unused]] int64_t keys = 0;
  for (const KvRun& run : runs) keys += run.rows;
  assert(keys == position + rows && length >= keys);
  sequences_.push_back(
      {this->rows(), rows, position, static_cast<int64_t>(runs_.size()), static_cast<int64_t>(runs.size())});
  runs_.insert(runs_.end(), runs.begin(), runs.end());
  for (int64_t i = 0; i < rows; ++i) positions_.push_back({position + i, length});
  reach_ = std::max(reach_, position + rows);
  length_ = std::max(length_, length);
}

}  // namespace bitloom

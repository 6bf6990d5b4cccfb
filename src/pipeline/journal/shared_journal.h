#pragma once
// The journal of a run on several ranks. The leading rank keeps it on its disk; the others learn from it what was
// finished, so nothing need be on a disk that all machines share.

#include <string>

#include "base/ranks.h"
#include "pipeline/journal/block_outcome.h"
#include "pipeline/journal/journal.h"

namespace bitloom {

class SharedJournal {
 public:
  /// Collective. `own` is the journal on the leading rank, unused on others; both must outlive this.
  SharedJournal(Journal* own, Ranks& ranks);

  int finished() const { return finished_; }
  /// Whether the layers' moments lie in the journal.
  bool has_moments() const { return has_moments_; }
  /// Collective. Files of them appear in `directory` on ranks that do not lead. Memory: the largest of them.
  void copy_moments(const std::string& directory);
  /// Collective.
  BlockOutcome load(int block);
  /// Collective. Error(kFailed) when ranks have come to different bytes: their machines compute differently.
  void store(int block, const BlockOutcome& outcome);

 private:
  Journal* own_;
  Ranks& ranks_;
  int finished_ = 0;
  bool has_moments_ = false;
};

}  // namespace bitloom

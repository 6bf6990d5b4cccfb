#pragma once
// The processes that quantize one model together: on one machine or on several, started by mpirun or srun. A rank is
// the number of a process.
//
// Goals: the same bytes for the same number of ranks; one error, told once, whichever rank had it; no rank waits for
// one that has failed. Non-goals: ranks that come and go (a lost rank ends the run, its journal lets it go on).
//
// This class is one process by itself: every operation gives back what it got. start_ranks() (pipeline/ranks/ranks.h) makes
// it several.
//
// Every operation is collective: all ranks call the same operations in the same order, from one thread each.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"

namespace bitloom {

using Bytes = std::vector<std::byte>;

class Ranks {
 public:
  Ranks() = default;
  virtual ~Ranks() = default;
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  /// Processors that this rank may count as its own, the machine's other ranks considered; 0: all.
  virtual int processors() const { return 0; }
  /// Whether this rank reads and writes what all of them share: the journal, the output, the terminal.
  bool leads() const { return rank() == 0; }

  /// values[i] becomes ((v0[i] + v1[i]) + v2[i]) + ..., over the ranks in their order: the same on every rank, and the
  /// same bytes for a fixed number of ranks. As many values on every rank.
  virtual void sum_in_rank_order(std::span<double> values) { (void)values; }
  virtual void sum_in_rank_order(std::span<float> values) { (void)values; }
  /// What every rank gave, in the order of ranks, on every rank.
  virtual std::vector<Bytes> gather(const Bytes& mine) { return {mine}; }
  /// What the leading rank gave, on every rank.
  virtual void broadcast(Bytes& bytes) { (void)bytes; }
  /// Returns when all ranks are here.
  virtual void barrier() {}

  /// This rank cannot go on. Where the others are in an operation, or enter their next one, they leave it with an
  /// Error: all ranks throw the same one, which names the lowest rank that failed unless all failed alike. To be called
  /// where nothing can be mended, once, with any Error that came out of the work, those of operations included.
  [[noreturn]] virtual void fail(const Error& error) { throw Error(error); }
};

/// Items [begin, end) of `count` are this rank's: contiguous, decided by count and number of ranks only.
struct RankShare {
  int64_t begin = 0, end = 0;
};
inline RankShare share_of(const Ranks& ranks, int64_t count) {
  return {count * ranks.rank() / ranks.size(), count * (ranks.rank() + 1) / ranks.size()};
}

}  // namespace bitloom

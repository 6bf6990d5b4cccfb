#pragma once
// Finished blocks of a run, on disk beside its output, so that a run that was killed goes on where it was. Only one run
// at a time may hold a journal.
//
//   OUT.journal/identity.json      what the run is: everything that decides its bytes
//   OUT.journal/block-0003/        one finished block: model.safetensors with the parts of its tensors, block.json with
//                                  the rest; appears by rename, complete or not at all
//   OUT.journal/moments/           of a run that differentiates the float model first, its layers' moments
//                                  (walk/guided_walk.h); appears by rename likewise
//   OUT.journal/spent.json         processor time of the run up to the last finished block, all its parts together
//   OUT.journal/lock               held (flock) while a run works
//   OUT.journal/tuning.safetensors where a tuner stands, see tune/distill.h
//   OUT.journal/activations-...    without a name as soon as it is open; see activation_store.h
//
// A journal without a finished block or moments gives way to any other run, and goes when its run fails.
// A journal without identity.json is what was left of one that was being removed, or had not begun: it is emptied. So
// identity.json is the first to go.

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "io/directory/file_lock.h"
#include "io/json.h"
#include "pipeline/journal/block_outcome.h"

namespace bitloom {

inline constexpr int kJournalVersion = 4;

/// What a block's file block.json holds: {sites, rewritten: [names], activations, remarks}, and
/// {tuning} of a block that was tuned.
Json describe(const BlockOutcome& outcome);

class Journal {
 public:
  /// Opens or creates OUT's journal. `identity` is one flat object: what is, under names for people. Error(kUsage) when
  /// another run holds it, when it holds blocks or moments of a run with another identity: names every difference, what
  /// it was and is, or when the directory holds anything that is none of a journal's: then nothing in it is touched.
  /// `restart` discards the journal that is there.
  Journal(const std::string& out, const Json& identity, bool restart);

  /// Without a finished block or moments, the directory goes.
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& directory() const { return directory_; }
  /// Blocks 0 .. finished() - 1 can be loaded.
  int finished() const { return finished_; }
  /// Processor seconds that the parts of the run before this one took for these blocks.
  double spent_before() const { return spent_before_; }
  /// Error(kRefused) when its files are damaged: which one, and that --restart begins anew.
  BlockOutcome load(int block) const;
  /// Stores the block whose turn it is.
  void store(int block, const BlockOutcome& outcome);
  /// What appears here is kept for a run that goes on: all moments, or nothing.
  std::string moments_directory() const;
  bool has_moments() const;
  /// The run is complete: the directory goes.
  void discard();

  static std::string directory_for(const std::string& out);
  /// Blocks that OUT's journal holds; 0 when there is none.
  static int finished_for(const std::string& out);
  /// What OUT's journal keeps, in words: "block 3" (the last finished), "the layers' moments"; "" when nothing.
  static std::string kept_for(const std::string& out);

 private:
  std::string block_directory(int block) const;
  /// Everything but the lock goes.
  void empty() const;

  std::string directory_;
  std::unique_ptr<FileLock> lock_;
  int finished_ = 0;
  double spent_before_ = 0, start_ = processor_seconds();
};

}  // namespace bitloom

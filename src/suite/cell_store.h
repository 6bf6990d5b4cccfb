#pragma once
// What finished cells left, in DIR/cells: EVALUATION-KEY.json holds a result, EVALUATION-KEY-BUILD.out what the command
// made. A result appears by rename and says that its cell is done, so a run may be killed at any moment. An output
// counts only beside the result of the same build of the program.

#include <functional>
#include <optional>
#include <string>

#include "io/json.h"
#include "suite/plan.h"

namespace bitloom {

/// The result of one cell.
struct CellResult {
  Json record;         // what the command printed with --json, outputs of cells as "cell:LABEL"
  double seconds = 0;  // of the command
};

class CellStore {
 public:
  /// `build` is a hash of the running program; `any_build` takes results of other builds, too.
  CellStore(const std::string& directory, std::string build, bool any_build);

  /// Nothing when the cell is not done, or its file cannot be read.
  std::optional<CellResult> find(const Cell& cell) const;
  void write(const Cell& cell, const CellResult& result) const;
  /// The cell is not done, and its output is gone. (What lies beside it, a journal, stays.)
  void forget(const Cell& cell) const;

  std::string output(const Cell& cell) const;
  /// Whether the output is there and complete.
  bool has_output(const Cell& cell) const;
  /// The output and everything that its command left beside it.
  void remove_output(const Cell& cell) const;
  /// Outputs of any cell of any build.
  void remove_all_outputs() const;

 private:
  std::optional<CellResult> find(const Cell& cell, bool any_build) const;
  std::string result_file(const Cell& cell) const;
  void remove_files(const std::function<bool(const std::string& name)>& named) const;
  std::string directory_, build_;
  bool any_build_;
};

}  // namespace bitloom

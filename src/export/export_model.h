#pragma once
// Models that bitloom wrote, as directories that other tools read: the same numbers in another layout. Nothing is
// rounded again: what a layout cannot hold is refused, by name.
//
// To add a target: a file here with a function as ExportTarget::write, and its row in the list of export_model.cc; the
// verb, its help and its messages follow from the row. Its test reads what was written as the other tool does, and
// compares it with what the model's matrices decode to.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct ExportJob {
  const Checkpoint& model;
  std::string out;     // a directory, which appears complete or not at all
  bool force = false;  // it may replace another
};

/// What came of it.
struct ExportReport {
  std::string layout;                // "2x8 g8"
  int64_t matrices = 0;              // in the target's layout
  int64_t bytes = 0;                 // of the weight files
  std::vector<std::string> remarks;  // what the user should know
};

struct ExportTarget {
  std::string name;     // what --to takes
  std::string summary;  // completes "--to NAME: "
  /// Error(kUsage) naming model and tensor for what the layout cannot hold, before anything is written; errors as
  /// OutputDirectory and SafetensorsWriter.
  ExportReport (*write)(const ExportJob& job, Context& context);
};

std::span<const ExportTarget> export_targets();
/// Error(kUsage) with the names there are.
const ExportTarget& find_export_target(const std::string& name);

}  // namespace bitloom

#pragma once
// How long work tells the world about itself. The library calls these; the program draws (cli/terminal/progress_bar.h).

#include <cstdint>
#include <string>

namespace bitloom {

class Progress {
 public:
  virtual ~Progress() = default;
  /// A task of `total` units of equal cost begins; units are whatever is proportional to time (bytes, tokens).
  virtual void begin(const std::string& label, int64_t total) { (void)label, (void)total; }
  /// `units` more are done. Thread-safe. `note` says where we are: "model.layers.3.mlp.up_proj".
  virtual void advance(int64_t units, const std::string& note = "") { (void)units, (void)note; }
  virtual void end() {}
  /// One line that should stay on the screen: a warning, a fact about the run.
  virtual void log(const std::string& line) { (void)line; }
};

/// A task that ends with its scope, also when something throws.
class ProgressTask {
 public:
  ProgressTask(Progress& progress, const std::string& label, int64_t total) : progress_(progress) {
    progress_.begin(label, total);
  }
  ~ProgressTask() { progress_.end(); }
  ProgressTask(const ProgressTask&) = delete;
  ProgressTask& operator=(const ProgressTask&) = delete;

 private:
  Progress& progress_;
};

}  // namespace bitloom

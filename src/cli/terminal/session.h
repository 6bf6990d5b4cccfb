#pragma once
// What one run of the program shares between its verb's flags and its work: the answer to --json and --threads, the
// thread pool, the progress bar, and the one way to print a result.
//
// Results go to standard output, everything else to standard error. With --json standard output holds exactly one
// object; of a verb that fails {"error", "exit_code"}, and the error stands on standard error as always.

#include <functional>
#include <memory>
#include <string>

#include "base/context.h"
#include "cli/terminal/progress_bar.h"
#include "io/json.h"
#include "pipeline/ranks/ranks.h"

namespace bitloom {

class Session {
 public:
  explicit Session(std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>());

  bool json = false;
  int threads = 0;  // 0: one per processor, or what falls to this rank

  /// The thread pool starts on first use.
  Context& context();
  /// Shows nothing on ranks that do not lead.
  Progress& progress() { return progress_; }
  const std::shared_ptr<Ranks>& ranks() const { return ranks_; }
  /// Puts "bitloom: warning: ..." on standard error; a function, for work that must not know who is told.
  std::function<void(const std::string&)> warner() {
    return [this](const std::string& message) { progress_.log("bitloom: warning: " + message); };
  }

  /// The verb's result: `record` with --json, else `text` as it is. Once per run; of several ranks the leading one
  /// speaks.
  void show(const Json& record, const std::string& text);

  /// show() stores the record in `record` instead of printing, as with --json: for verbs that other verbs run.
  void capture(Json& record) {
    json = true;
    captured_ = &record;
  }

  /// Whether head lines may be bold: a terminal, and NO_COLOR unset (no-color.org).
  bool bold() const;

 private:
  std::shared_ptr<Ranks> ranks_;
  ProgressBar progress_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Context> context_;
  Json* captured_ = nullptr;
};

/// Writes to standard output; Error(kFailed) when it does not take all (a full disk behind a redirection).
void write_output(const std::string& text);

/// A record as it is printed and kept. Pieces of vocabularies, which may be no UTF-8, are replaced: JSON must be.
std::string json_text(const Json& record);

/// Everything that standard input holds.
std::string read_standard_input();

/// `text` on one line and harmless to a terminal: control characters as \n, \t, \x1b.
std::string visible_text(const std::string& text);

}  // namespace bitloom

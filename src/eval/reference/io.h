#pragma once
// What full and compact reference files have in common: writing them under a temporary name, opening them for the same
// tokenizer, text and windows, finding a window's rows. For file.cc only.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "eval/reference/format.h"
#include "eval/scoring.h"
#include "io/mapped_file.h"

namespace bitloom {

/// Runs `reference` over the windows; `encode` turns row i of a block's logits into header.row_bytes() bytes, from
/// several threads. The file appears at `path` when complete. Errors as write_reference().
void write_reference_rows(const std::string& path, const ReferenceHeader& header, LogitsSource& reference,
                          const TextWindows& windows, Context& context,
                          const std::function<void(const ScoreBlock& block, int64_t i, std::span<const float> logits,
                                                   std::byte* out)>& encode);

/// The rows of an open reference file, window by window.
class StoredRows {
 public:
  /// Error(kRefused) naming both when the file was made with another tokenizer, text or other windows.
  StoredRows(const std::string& path, const TextWindows& windows, const std::string& tokenizer_hash,
             const std::string& text_hash);

  const ReferenceHeader& header() const { return header_; }
  const std::string& path() const { return file_->path(); }
  /// The window with these inputs; among equal ones the next in order. Error(kFailed) when there is none.
  void run(std::span<const int32_t> tokens);
  /// Bytes of the row that predicts the token after `position` of the current window. Error(kFailed) unless that is one
  /// of its scored positions and those up to position + count - 1 are, too.
  const std::byte* row(int64_t position, int64_t count) const;
  /// The token after `position` of the current window.
  int32_t target(int64_t position) const;
  [[noreturn]] void refuse_row(int64_t position) const;

 private:
  std::span<const std::byte> window_bytes(size_t window) const;
  int64_t index_of(int64_t position) const;

  std::shared_ptr<const MappedFile> file_;
  ReferenceHeader header_;
  std::vector<TextWindows::Window> windows_;
  std::vector<int64_t> first_row_;  // of each window
  std::optional<size_t> current_;
};

}  // namespace bitloom

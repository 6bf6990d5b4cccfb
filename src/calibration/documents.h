#pragma once
// The documents of a calibration text as token ids, tokenized when first asked for.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calibration/samples.h"

namespace bitloom {

/// A calibration text before tokenizing.
struct CalibrationText {
  std::string bytes;   // unpacked
  std::string origin;  // the path, for messages
  std::string source;  // the path without directory, or "built-in mixed text"
};

/// The built-in text when `file` is empty. Error(kRefused) naming the path; Error(kFailed) when the built-in text is
/// not found.
CalibrationText read_calibration_text(const std::string& file);

class Documents {
 public:
  /// Splits and checks the text. Errors as sample_calibration(). `tokenizer` must outlive this;
  /// null for a model without one: token ids only, joined by nothing.
  Documents(const CalibrationText& text, const CalibrationFormat& format, const Tokenizer* tokenizer,
            int64_t vocab_size);

  int64_t count() const { return static_cast<int64_t>(ids_.size()); }
  const std::string& origin() const { return origin_; }
  /// Ids of a document; tokenized at the first call, kept afterwards.
  const std::vector<int32_t>& tokens(int64_t document);
  /// Appends a document to a stream, joined to what is there by EOS or "\n\n".
  void append_to(std::vector<int32_t>& stream, int64_t document);
  /// All documents, in order, as one stream.
  std::vector<int32_t> joined();
  /// `EOS` or `"\n\n"`: what documents are joined by, for descriptions.
  std::string joint_name() const;

 private:
  const Tokenizer* tokenizer_;
  int64_t vocab_size_;
  std::string origin_;
  std::vector<std::string> texts_;  // of documents that were not yet tokenized
  std::vector<std::optional<std::vector<int32_t>>> ids_;
};

}  // namespace bitloom

#include "calibration/documents.h"

#include <filesystem>

#include "base/error.h"
#include "base/install_paths.h"
#include "calibration/token_lines.h"

namespace bitloom {
namespace {

constexpr const char* kFolder = "assets/calibration";
constexpr const char* kFile = "mixed.txt.xz";

}  // namespace

CalibrationText read_calibration_text(const std::string& file) {
  namespace fs = std::filesystem;
  if (!file.empty()) return {read_text_or_xz(file), file, fs::path(file).filename().string()};
  for (const std::string& directory : data_directories(kFolder)) {
    const std::string path = directory + "/" + kFile;
    if (fs::exists(path)) return {read_text_or_xz(path), path, "built-in mixed text"};
  }
  fail(ErrorKind::kFailed,
       "{}/{}: the built-in calibration text is not found beside the program, in share/bitloom or "
       "in the current directory; give a calibration file",
       kFolder, kFile);
}

Documents::Documents(const CalibrationText& text, const CalibrationFormat& format, const Tokenizer* tokenizer,
                     int64_t vocab_size)
    : tokenizer_(tokenizer), vocab_size_(vocab_size), origin_(text.origin) {
  if (!format.tokens && tokenizer == nullptr) {
    refuse("{}: a text to calibrate on needs a tokenizer, and the model has none; give token ids (format tokens)",
           origin_);
  }
  if (format.tokens) {
    for (std::vector<int32_t>& ids : parse_token_lines(text.bytes, vocab_size, origin_))
      ids_.emplace_back(std::move(ids));
  } else {
    texts_ = split_documents(text.bytes, format.text, origin_);
    ids_.resize(texts_.size());
  }
}

const std::vector<int32_t>& Documents::tokens(int64_t document) {
  std::optional<std::vector<int32_t>>& ids = ids_[static_cast<size_t>(document)];
  if (ids) return *ids;
  std::string& text = texts_[static_cast<size_t>(document)];
  ids = tokenizer_->encode(text);
  for (const int32_t id : *ids) {
    if (id < 0 || id >= vocab_size_)
      refuse("{}: the tokenizer gives id {} (\"{}\"), but the model knows only 0 to {}", origin_, id,
             tokenizer_->id_to_token(id), vocab_size_ - 1);
  }
  std::string().swap(text);
  return *ids;
}

void Documents::append_to(std::vector<int32_t>& stream, int64_t document) {
  if (!stream.empty() && tokenizer_ != nullptr) {
    const std::optional<int32_t> eos = tokenizer_->eos_id();
    if (!eos) {
      const std::vector<int32_t> gap = tokenizer_->encode("\n\n", false);
      stream.insert(stream.end(), gap.begin(), gap.end());
    } else if (stream.back() != *eos) {
      stream.push_back(*eos);
    }
  }
  const std::vector<int32_t>& ids = tokens(document);
  stream.insert(stream.end(), ids.begin(), ids.end());
}

std::vector<int32_t> Documents::joined() {
  std::vector<int32_t> stream;
  for (int64_t document = 0; document < count(); ++document) append_to(stream, document);
  return stream;
}

std::string Documents::joint_name() const {
  if (tokenizer_ == nullptr) return "nothing";
  return tokenizer_->eos_id() ? "EOS" : "\"\\n\\n\"";
}

}  // namespace bitloom

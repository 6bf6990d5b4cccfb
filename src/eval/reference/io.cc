#include "eval/reference/io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "eval/divergence.h"
#include "io/directory/output_directory.h"
#include "io/directory/output_file.h"

namespace bitloom {
namespace {

/// A file that appears under its name only when commit() has run.
class StagedFile {
 public:
  explicit StagedFile(const std::string& path) : path_(path), file_(path + ".partial") {}
  ~StagedFile() {
    if (!committed_) ::unlink(file_.path().c_str());
  }
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  void append(std::span<const std::byte> bytes) {
    file_.write_at(size_, bytes);
    size_ += static_cast<int64_t>(bytes.size());
  }

  void commit() {
    file_.finish();
    if (std::rename(file_.path().c_str(), path_.c_str()) != 0)
      fail(ErrorKind::kFailed, "{}: cannot rename {} to it: {}", path_, file_.path(), std::strerror(errno));
    committed_ = true;
  }

 private:
  std::string path_;
  OutputFile file_;
  int64_t size_ = 0;
  bool committed_ = false;
};

/// Before a model runs for an hour: may this be written, and does it fit?
void check_output(const std::string& path, uint64_t bytes) {
  if (std::filesystem::exists(path) && !is_reference_file(path))
    misuse("{}: exists and is no bitloom reference file: it is not overwritten", path);
  const int64_t available = free_disk_bytes(path);
  if (static_cast<uint64_t>(available) < bytes)
    fail(ErrorKind::kFailed, "{}: needs {} bytes, its file system has {} free", path, bytes, available);
}

void check_same(const std::string& path, const char* what, const std::string& ours, const std::string& theirs) {
  if (ours != theirs) refuse("{}: made with {} {}, asked for with {}", path, what, theirs, ours);
}

}  // namespace

void write_reference_rows(
    const std::string& path, const ReferenceHeader& header, LogitsSource& reference, const TextWindows& windows,
    Context& context,
    const std::function<void(const ScoreBlock&, int64_t, std::span<const float>, std::byte*)>& encode) {
  check_output(path, header.file_bytes());
  StagedFile file(path);
  file.append(encode_reference_header(header));
  const auto vocab = static_cast<int64_t>(header.vocab);
  std::vector<float> logits;
  std::vector<std::byte> rows;
  walk_windows(
      windows, vocab, "reference", context, [&](std::span<const int32_t> inputs) { reference.run(inputs); },
      [&](const ScoreBlock& block) {
        read_logits(reference, "the reference", block, context, logits);
        const uint64_t bytes = header.row_bytes();
        rows.resize(static_cast<size_t>(block.rows()) * bytes);
        context.threads.parallel_for(block.rows(), [&](int64_t i) {
          const std::span<const float> row(logits.data() + i * vocab, static_cast<size_t>(vocab));
          encode(block, i, row, rows.data() + static_cast<uint64_t>(i) * bytes);
        });
        file.append(rows);
      });
  file.commit();
}

StoredRows::StoredRows(const std::string& path, const TextWindows& windows, const std::string& tokenizer_hash,
                       const std::string& text_hash)
    : file_(MappedFile::open(path)), header_(decode_reference_header(file_->bytes(), path)), windows_(windows.windows) {
  const ReferenceHeader ours =
      reference_header(static_cast<int64_t>(header_.vocab), windows, tokenizer_hash, text_hash);
  check_same(path, "tokenizer", ours.tokenizer_hash, header_.tokenizer_hash);
  check_same(path, "text", ours.text_hash, header_.text_hash);
  if (ours.windows_hash != header_.windows_hash || ours.rows != header_.rows || ours.windows != header_.windows)
    refuse("{}: made on other windows: {} ({}), asked for {} ({})", path, header_.description, header_.windows_hash,
           ours.description, ours.windows_hash);
  int64_t row = 0;
  for (const TextWindows::Window& window : windows_) {
    first_row_.push_back(row);
    row += window.scored();
  }
}

void StoredRows::run(std::span<const int32_t> tokens) {
  const size_t start = current_ ? *current_ + 1 : 0;
  if (current_) file_->release(window_bytes(*current_));
  current_.reset();
  for (size_t i = 0; i < windows_.size(); ++i) {
    const size_t w = (start + i) % windows_.size();
    const std::vector<int32_t>& ours = windows_[w].tokens;
    if (std::equal(ours.begin(), ours.end() - 1, tokens.begin(), tokens.end())) {
      current_ = w;
      return;
    }
  }
  fail(ErrorKind::kFailed, "{}: holds no window with the {} tokens asked for", path(), tokens.size());
}

const std::byte* StoredRows::row(int64_t position, int64_t count) const {
  if (!current_) fail(ErrorKind::kFailed, "{}: no window was run", path());
  const TextWindows::Window& window = windows_[*current_];
  const int64_t begin = window.first_scored - 1, end = begin + window.scored();
  if (position < begin || count < 0 || position > end - count)
    fail(ErrorKind::kFailed, "{}: positions {}..{} asked for, window {} holds {}..{}", path(), position,
         position + count - 1, *current_, begin, end - 1);
  return window_bytes(*current_).data() + static_cast<uint64_t>(position - begin) * header_.row_bytes();
}

int32_t StoredRows::target(int64_t position) const {
  return windows_[*current_].tokens[static_cast<size_t>(position + 1)];
}

void StoredRows::refuse_row(int64_t position) const {
  refuse("{}: row {} is damaged: its scalars are no log-probabilities", path(), index_of(position));
}

int64_t StoredRows::index_of(int64_t position) const {
  return first_row_[*current_] + position - (windows_[*current_].first_scored - 1);
}

std::span<const std::byte> StoredRows::window_bytes(size_t window) const {
  return file_->bytes().subspan(header_.data_offset + static_cast<uint64_t>(first_row_[window]) * header_.row_bytes(),
                                static_cast<uint64_t>(windows_[window].scored()) * header_.row_bytes());
}

}  // namespace bitloom

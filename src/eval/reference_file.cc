#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "eval/divergence.h"
#include "eval/reference_format.h"
#include "eval/scoring.h"
#include "io/mapped_file.h"
#include "io/output_directory.h"
#include "io/output_file.h"

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

class ReferenceFile final : public LogitsSource {
 public:
  ReferenceFile(std::shared_ptr<const MappedFile> file, ReferenceHeader header, const TextWindows& windows)
      : file_(std::move(file)), header_(std::move(header)), windows_(windows.windows) {
    int64_t row = 0;
    for (const TextWindows::Window& window : windows_) {
      first_row_.push_back(row);
      row += window.scored();
    }
  }

  int64_t vocab_size() const override { return static_cast<int64_t>(header_.vocab); }

  /// The window with these inputs; among equal ones the next in order.
  void run(std::span<const int32_t> tokens) override {
    const size_t start = current_ ? *current_ + 1 : 0;
    release_current();
    for (size_t i = 0; i < windows_.size(); ++i) {
      const size_t w = (start + i) % windows_.size();
      const std::vector<int32_t>& ours = windows_[w].tokens;
      if (std::equal(ours.begin(), ours.end() - 1, tokens.begin(), tokens.end())) {
        current_ = w;
        return;
      }
    }
    fail(ErrorKind::kFailed, "{}: holds no window with the {} tokens asked for", file_->path(), tokens.size());
  }

  void logits(int64_t first, int64_t count, float* out) override {
    if (!current_) fail(ErrorKind::kFailed, "{}: no window was run", file_->path());
    const TextWindows::Window& window = windows_[*current_];
    const int64_t begin = window.first_scored - 1, end = begin + window.scored();
    if (first < begin || count < 0 || first > end - count)
      fail(ErrorKind::kFailed, "{}: positions {}..{} asked for, window {} holds {}..{}", file_->path(), first,
           first + count - 1, *current_, begin, end - 1);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = first_row_[*current_] + first - begin + i;
      const int32_t target = window.tokens[static_cast<size_t>(first + i + 1)];
      const std::span<float> log_probs(out + i * vocab_size(), static_cast<size_t>(header_.vocab));
      if (!decode_reference_row(row_data(row, 1).data(), target, log_probs))
        refuse("{}: row {} is damaged: its scalars are no log-probabilities", file_->path(), row);
    }
  }

 private:
  std::span<const std::byte> row_data(int64_t row, int64_t rows) const {
    const uint64_t bytes = header_.row_bytes();
    return file_->bytes().subspan(header_.data_offset + static_cast<uint64_t>(row) * bytes,
                                  static_cast<uint64_t>(rows) * bytes);
  }

  void release_current() {
    if (current_) file_->release(row_data(first_row_[*current_], windows_[*current_].scored()));
    current_.reset();
  }

  std::shared_ptr<const MappedFile> file_;
  ReferenceHeader header_;
  std::vector<TextWindows::Window> windows_;
  std::vector<int64_t> first_row_;  // of each window
  std::optional<size_t> current_;
};

void check_same(const std::string& path, const char* what, const std::string& ours, const std::string& theirs) {
  if (ours != theirs) refuse("{}: made with {} {}, asked for with {}", path, what, theirs, ours);
}

}  // namespace

void write_reference(const std::string& path, LogitsSource& reference, const TextWindows& windows,
                     const std::string& tokenizer_hash, const std::string& text_hash, Context& context) {
  const int64_t vocab = reference.vocab_size();
  const ReferenceHeader header = reference_header(vocab, windows, tokenizer_hash, text_hash);
  const std::vector<std::byte> head = encode_reference_header(header);
  check_output(path, head.size() + header.rows * header.row_bytes());
  StagedFile file(path);
  file.append(head);
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
          encode_reference_row(row, block.targets[static_cast<size_t>(i)],
                               rows.data() + static_cast<uint64_t>(i) * bytes);
        });
        file.append(rows);
      });
  file.commit();
}

bool is_reference_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  char magic[8] = {};
  std::ifstream in(path, std::ios::binary);
  return in.read(magic, sizeof magic) && std::memcmp(magic, kReferenceMagic, sizeof magic) == 0;
}

std::unique_ptr<LogitsSource> open_reference(const std::string& path, const TextWindows& windows,
                                             const std::string& tokenizer_hash, const std::string& text_hash) {
  std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  ReferenceHeader theirs = decode_reference_header(file->bytes(), path);
  const ReferenceHeader ours = reference_header(static_cast<int64_t>(theirs.vocab), windows, tokenizer_hash, text_hash);
  check_same(path, "tokenizer", ours.tokenizer_hash, theirs.tokenizer_hash);
  check_same(path, "text", ours.text_hash, theirs.text_hash);
  if (ours.windows_hash != theirs.windows_hash || ours.rows != theirs.rows || ours.windows != theirs.windows)
    refuse("{}: made on other windows: {} ({}), asked for {} ({})", path, theirs.description, theirs.windows_hash,
           ours.description, ours.windows_hash);
  return std::make_unique<ReferenceFile>(std::move(file), std::move(theirs), windows);
}

}  // namespace bitloom

#include <cstring>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "eval/divergence.h"
#include "eval/reference/io.h"

namespace bitloom {
namespace {

class FullReference final : public LogitsSource {
 public:
  explicit FullReference(StoredRows rows) : rows_(std::move(rows)) {}

  int64_t vocab_size() const override { return static_cast<int64_t>(rows_.header().vocab); }
  void run(std::span<const int32_t> tokens) override { rows_.run(tokens); }

  void logits(int64_t first, int64_t count, float* out) override {
    const std::byte* row = rows_.row(first, count);
    for (int64_t i = 0; i < count; ++i, row += rows_.header().row_bytes()) {
      const std::span<float> log_probs(out + i * vocab_size(), static_cast<size_t>(vocab_size()));
      if (!decode_reference_row(row, rows_.target(first + i), log_probs)) rows_.refuse_row(first + i);
    }
  }

 private:
  StoredRows rows_;
};

class CompactReference final : public ReferenceRows {
 public:
  explicit CompactReference(StoredRows rows) : rows_(std::move(rows)) {}

  int64_t vocab_size() const override { return static_cast<int64_t>(rows_.header().vocab); }
  void run(std::span<const int32_t> tokens) override { rows_.run(tokens); }

  void load(const ScoreBlock& block, Context&) override {
    const std::byte* row = rows_.row(block.first, block.rows());
    block_.resize(static_cast<size_t>(block.rows()));
    for (int64_t i = 0; i < block.rows(); ++i, row += rows_.header().row_bytes())
      if (!decode_compact_row(row, rows_.header(), block_[static_cast<size_t>(i)])) rows_.refuse_row(block.first + i);
  }

  RowDivergence against(int64_t i, std::span<const float> logits, int64_t target) const override {
    return compact_divergence(block_[static_cast<size_t>(i)], logits, target);
  }

 private:
  StoredRows rows_;
  std::vector<CompactRow> block_;
};

/// The rows of a full file, with the file.
class FullRows final : public ReferenceRows {
 public:
  explicit FullRows(StoredRows rows) : file_(std::move(rows)), rows_(rows_of(file_)) {}
  int64_t vocab_size() const override { return file_.vocab_size(); }
  void run(std::span<const int32_t> tokens) override { rows_->run(tokens); }
  void load(const ScoreBlock& block, Context& context) override { rows_->load(block, context); }
  RowDivergence against(int64_t i, std::span<const float> logits, int64_t target) const override {
    return rows_->against(i, logits, target);
  }

 private:
  FullReference file_;
  std::unique_ptr<ReferenceRows> rows_;
};

/// Draws of a row depend on its place alone. The stream is this use of the generator.
constexpr uint64_t kDrawStream = 0x636f6d70;

}  // namespace

ReferenceHeader write_reference(const std::string& path, LogitsSource& reference, const TextWindows& windows,
                                const std::string& tokenizer_hash, const std::string& text_hash, Context& context,
                                uint64_t budget) {
  ReferenceHeader header = reference_header(reference.vocab_size(), windows, tokenizer_hash, text_hash);
  const uint64_t entries = budget > 0 ? entries_within(header, budget, path) : 0;
  if (entries > 0) header = reference_header(reference.vocab_size(), windows, tokenizer_hash, text_hash, entries);
  write_reference_rows(path, header, reference, windows, context,
                       [&](const ScoreBlock& block, int64_t i, std::span<const float> logits, std::byte* out) {
                         const int32_t target = block.targets[static_cast<size_t>(i)];
                         if (entries == 0) return encode_reference_row(logits, target, out);
                         const Rng rng(static_cast<uint64_t>(block.scored_before + i), kDrawStream);
                         encode_compact_row(compact_row(logits, target, static_cast<int64_t>(entries), rng), header,
                                            out);
                       });
  return header;
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
  StoredRows rows(path, windows, tokenizer_hash, text_hash);
  if (rows.header().is_compact()) refuse("{}: is compact: it holds no logits", path);
  return std::make_unique<FullReference>(std::move(rows));
}

std::unique_ptr<ReferenceRows> open_reference_rows(const std::string& path, const TextWindows& windows,
                                                   const std::string& tokenizer_hash, const std::string& text_hash) {
  StoredRows rows(path, windows, tokenizer_hash, text_hash);
  if (rows.header().is_compact()) return std::make_unique<CompactReference>(std::move(rows));
  return std::make_unique<FullRows>(std::move(rows));
}

}  // namespace bitloom

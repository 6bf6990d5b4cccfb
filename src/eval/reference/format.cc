#include "eval/reference/format.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "eval/row_math.h"
#include "io/byte_reader.h"
#include "io/hash.h"

namespace bitloom {
namespace {

constexpr uint32_t kLongestString = 4096;
constexpr uint64_t kLargestVocab = uint64_t{1} << 31;    // token ids are int32
constexpr uint64_t kLargestCompact = uint64_t{1} << 24;  // ids of 3 bytes
constexpr uint64_t kMostEntries = 65535;                 // counts are u16

void put_bytes(std::vector<std::byte>& out, const void* data, size_t count) {
  const size_t at = out.size();
  out.resize(at + count);
  if (count > 0) std::memcpy(out.data() + at, data, count);
}

template <typename T>
void put(std::vector<std::byte>& out, T value) {
  put_bytes(out, &value, sizeof value);
}

void put_string(std::vector<std::byte>& out, const std::string& text) {
  const auto length = static_cast<uint32_t>(std::min<size_t>(text.size(), kLongestString));
  put(out, length);
  put_bytes(out, text.data(), length);
}

std::string get_string(ByteReader& reader, const char* what) {
  const auto length = reader.read<uint32_t>(what);
  if (length > kLongestString)
    refuse("{}: {} of {} bytes at byte {} (at most {})", reader.file(), what, length, reader.position() - 4,
           kLongestString);
  const std::span<const std::byte> bytes = reader.take(length, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hash_windows(const TextWindows& windows) {
  std::string bytes;
  const auto put_number = [&bytes](int64_t value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (const TextWindows::Window& window : windows.windows) {
    put_number(static_cast<int64_t>(window.tokens.size()));
    put_number(window.first_scored);
    for (const int32_t token : window.tokens) put_number(token);
  }
  return sha256_hex(bytes);
}

uint64_t read_entries(ByteReader& reader, uint64_t vocab) {
  const auto entries = reader.read<uint32_t>("entries of a row");
  if (entries == 0 || entries > std::min(vocab, kMostEntries) || vocab > kLargestCompact)
    refuse("{}: header says {} entries of a row for a vocabulary of {} (at most {} for at most {})", reader.file(),
           entries, vocab, std::min(vocab, kMostEntries), kLargestCompact);
  return entries;
}

void check_size(const ReferenceHeader& header, size_t file_bytes, const std::string& path) {
  if (header.vocab == 0 || header.vocab > kLargestVocab || header.rows == 0 || header.windows == 0)
    refuse("{}: header says vocabulary {}, {} windows, {} rows", path, header.vocab, header.windows, header.rows);
  const uint64_t data = file_bytes - header.data_offset;
  if (data % header.row_bytes() != 0 || data / header.row_bytes() != header.rows)
    refuse("{}: truncated or overlong: {} rows of {} bytes should follow offset {}, the file has {} bytes", path,
           header.rows, header.row_bytes(), header.data_offset, file_bytes);
}

struct RowScalars {
  float top = 0, step = 0, target = 0;
};

/// Codes of the row, and log of the probability mass that they decode to when `top` is taken as 0.
double encode_codes(std::span<const float> logits, const Top& top, double step, uint16_t* codes) {
  double mass = 0;
  for (size_t v = 0; v < logits.size(); ++v) {
    const double distance = static_cast<double>(top.value) - logits[v];
    uint16_t code = 0;
    if (static_cast<int64_t>(v) != top.index && step > 0) {
      const double steps = std::round(distance / step);
      code = static_cast<uint16_t>(std::clamp(steps, 1.0, kReferenceLastCode + 1.0));
    }
    codes[v] = code;
    if (code <= kReferenceLastCode) mass += std::exp(-step * code);
  }
  return std::log(mass);
}

}  // namespace

ReferenceHeader reference_header(int64_t vocab, const TextWindows& windows, const std::string& tokenizer_hash,
                                 const std::string& text_hash, uint64_t entries) {
  ReferenceHeader out;
  out.vocab = static_cast<uint64_t>(vocab);
  out.windows = windows.windows.size();
  out.rows = static_cast<uint64_t>(windows.scored_tokens);
  out.tokenizer_hash = tokenizer_hash;
  out.text_hash = text_hash;
  out.windows_hash = hash_windows(windows);
  out.description = windows.description;
  out.entries = entries;
  out.data_offset = encode_reference_header(out).size();
  return out;
}

uint64_t entries_within(const ReferenceHeader& full, uint64_t budget, const std::string& path) {
  if (full.file_bytes() <= budget) return 0;
  if (full.vocab > kLargestCompact)
    misuse("{}: a vocabulary of {} is kept in full only (compact files go up to {})", path, full.vocab,
           kLargestCompact);
  ReferenceHeader compact = full;
  compact.entries = kLeastCompactEntries;
  compact.data_offset = encode_reference_header(compact).size();
  if (compact.file_bytes() > budget)
    misuse("{}: {} bytes are too few for {} positions: at least {}", path, budget, full.rows, compact.file_bytes());
  const uint64_t row = (budget - compact.data_offset) / compact.rows;
  const uint64_t most = std::min<uint64_t>(kMostEntries, compact.vocab);
  compact.entries = std::min(most, (row / 4 * 4 - 16) / (4 + compact.id_bytes()));
  return compact.entries;
}

std::vector<std::byte> encode_reference_header(const ReferenceHeader& header) {
  std::vector<std::byte> out;
  put_bytes(out, kReferenceMagic, 8);
  put(out, header.is_compact() ? kCompactVersion : kReferenceVersion);
  put(out, uint32_t{0});
  put(out, header.vocab);
  put(out, header.windows);
  put(out, header.rows);
  for (const std::string* text : {&header.tokenizer_hash, &header.text_hash, &header.windows_hash, &header.description})
    put_string(out, *text);
  if (header.is_compact()) put(out, static_cast<uint32_t>(header.entries));
  out.resize((out.size() + 7) / 8 * 8);
  const auto offset = static_cast<uint32_t>(out.size());
  std::memcpy(out.data() + 12, &offset, sizeof offset);
  return out;
}

ReferenceHeader decode_reference_header(std::span<const std::byte> file, const std::string& path) {
  if (file.size() < 8 || std::memcmp(file.data(), kReferenceMagic, 8) != 0)
    refuse("{}: no bitloom reference file (it does not begin with '{}')", path, kReferenceMagic);
  ByteReader reader(file, path);
  reader.take(8, "magic");
  const auto version = reader.read<uint32_t>("version");
  if (version != kReferenceVersion && version != kCompactVersion)
    refuse("{}: reference file of version {} (this program reads {} and {})", path, version, kReferenceVersion,
           kCompactVersion);
  ReferenceHeader out;
  out.data_offset = reader.read<uint32_t>("offset of the rows");
  out.vocab = reader.read<uint64_t>("vocabulary");
  out.windows = reader.read<uint64_t>("window count");
  out.rows = reader.read<uint64_t>("row count");
  out.tokenizer_hash = get_string(reader, "tokenizer hash");
  out.text_hash = get_string(reader, "text hash");
  out.windows_hash = get_string(reader, "windows hash");
  out.description = get_string(reader, "description");
  if (version == kCompactVersion) out.entries = read_entries(reader, out.vocab);
  if (out.data_offset != (reader.position() + 7) / 8 * 8)
    refuse("{}: rows at offset {}, after a header of {} bytes", path, out.data_offset, reader.position());
  if (out.data_offset > file.size())
    refuse("{}: truncated: rows at offset {} of {} bytes", path, out.data_offset, file.size());
  check_size(out, file.size(), path);
  return out;
}

void encode_reference_row(std::span<const float> logits, int64_t target, std::byte* out) {
  const Top top = top_of(logits);
  const double lowest = *std::min_element(logits.begin(), logits.end());
  RowScalars scalars;
  scalars.step = static_cast<float>(std::min(kReferenceRange, top.value - lowest) / kReferenceLastCode);
  std::vector<uint16_t> codes(logits.size());
  scalars.top = static_cast<float>(-encode_codes(logits, top, scalars.step, codes.data()));
  scalars.target = static_cast<float>(-row_nll(logits, target));
  std::memcpy(out, &scalars, sizeof scalars);
  std::memcpy(out + sizeof scalars, codes.data(), 2 * codes.size());
  if (codes.size() % 2 == 1) std::memset(out + sizeof scalars + 2 * codes.size(), 0, 2);
}

bool decode_reference_row(const std::byte* row, int64_t target, std::span<float> log_probs) {
  RowScalars scalars;
  std::memcpy(&scalars, row, sizeof scalars);
  // 32 / 65534 rounded to fp32 may lie a little above; a top above 0 by more than rounding is no log-probability.
  if (!(scalars.step >= 0 && scalars.step <= 5e-4f)) return false;
  if (!(scalars.top <= 1e-5f && scalars.top >= -100.0f)) return false;
  if (!(scalars.target <= 1e-5f && std::isfinite(scalars.target))) return false;
  const std::byte* codes = row + sizeof scalars;
  for (size_t v = 0; v < log_probs.size(); ++v) {
    uint16_t code = 0;
    std::memcpy(&code, codes + 2 * v, sizeof code);
    const double below = code <= kReferenceLastCode ? static_cast<double>(scalars.step) * code : kReferenceBelow;
    log_probs[v] = static_cast<float>(scalars.top - below);
  }
  const auto t = static_cast<size_t>(target);
  if (log_probs[t] < scalars.top - kReferenceBelow / 2) log_probs[t] = scalars.target;
  return true;
}

void encode_compact_row(const CompactRow& row, const ReferenceHeader& header, std::byte* out) {
  std::memset(out, 0, header.row_bytes());
  const float scalars[2] = {row.log_target, row.log_tail};
  const auto counts = {static_cast<uint16_t>(row.certain.size()), static_cast<uint16_t>(row.drawn.size())};
  std::memcpy(out, scalars, sizeof scalars);
  std::memcpy(out + 8, &row.top, 4);
  std::memcpy(out + 12, counts.begin(), 4);
  std::byte* values = out + 16;
  std::byte* ids = values + 4 * header.entries;
  for (const std::vector<CompactRow::Entry>* entries : {&row.certain, &row.drawn})
    for (const CompactRow::Entry& entry : *entries) {
      std::memcpy(values, &entry.log_p, 4);
      std::memcpy(ids, &entry.token, header.id_bytes());
      values += 4;
      ids += header.id_bytes();
    }
}

bool decode_compact_row(const std::byte* in, const ReferenceHeader& header, CompactRow& row) {
  const auto is_log_p = [](float x) { return std::isfinite(x) && x <= 1e-5f; };
  uint16_t counts[2];
  std::memcpy(&row.log_target, in, 4);
  std::memcpy(&row.log_tail, in + 4, 4);
  std::memcpy(&row.top, in + 8, 4);
  std::memcpy(counts, in + 12, 4);
  if (!is_log_p(row.log_target) || !is_log_p(row.log_tail)) return false;
  if (row.top < 0 || static_cast<uint64_t>(row.top) >= header.vocab) return false;
  // One draw alone has no spread; what lies in the tail only is in no file that was written here.
  if (counts[0] == 0 || counts[1] == 1 || uint64_t{counts[0]} + counts[1] > header.entries) return false;
  const std::byte* values = in + 16;
  const std::byte* ids = values + 4 * header.entries;
  std::vector<CompactRow::Entry> entries(counts[0] + size_t{counts[1]});
  for (CompactRow::Entry& entry : entries) {
    std::memcpy(&entry.log_p, values, 4);
    std::memcpy(&entry.token, ids, header.id_bytes());
    if (!is_log_p(entry.log_p) || static_cast<uint64_t>(entry.token) >= header.vocab) return false;
    values += 4;
    ids += header.id_bytes();
  }
  row.certain.assign(entries.begin(), entries.begin() + counts[0]);
  row.drawn.assign(entries.begin() + counts[0], entries.end());
  return std::adjacent_find(row.certain.begin(), row.certain.end(),
                            [](const auto& a, const auto& b) { return a.token >= b.token; }) == row.certain.end();
}

}  // namespace bitloom

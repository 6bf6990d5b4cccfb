#pragma once
// The reference file: a model's log-probabilities of every scored position, in full (version 1) or as sketches of a
// fixed size (version 2), so that the model itself is not needed again.
//
//   offset  0  "bitloomR"
//           8  u32 version = 1 or 2   12  u32 bytes before the first row, a multiple of 8
//          16  u64 vocab   24  u64 windows   32  u64 rows (scored positions of all windows, in order)
//          40  tokenizer hash, text hash, hash of the windows' tokens and scored ranges, description of the windows,
//              each u32 length (at most 4096) and bytes; version 2: u32 entries n of a row; then zeros
//   rows, 1    f32 top, f32 step, f32 target, u16 code[vocab], zeros up to a multiple of 4
//   rows, 2    f32 target, f32 log of the tail's mass, u32 top token, u16 certain entries, u16 drawn entries,
//              f32 log p[n], token id[n] (u16, or 3 bytes when vocab > 65536), zeros up to a multiple of 4
// All little-endian.
//
// Version 2: a row is a CompactRow (compact_row.h, which derives its error), certain entries first.
//
// Version 1: a row holds log p_v = top - step * code_v, with step = min(32, largest distance from the top) / 65534, so
// at most 0.00049 nats. Code 0 is the most likely token alone (lowest id among equals), which keeps top-1 agreement
// exact; code 65535 stands for "more than 32 nats below the top" and decodes to 1e4 nats below, a probability of 0.
// `target` is the log-probability of the text's own token as fp32, used in place of code 65535 so that a loss stays a
// loss. `top` is chosen after coding so that the decoded row sums to 1.
//
// Error. Before normalisation a log-probability is off by at most one step (half a step but for a token that almost
// ties with the top); normalisation shifts all of a row by no more than that again. So |error| <= E = 2 step <= 0.00098
// nats, and with A = sum p |log p - log q| and L = the largest |log p - log q| of a token the file leaves out (mass <
// vocab e^-32)
//   |KL from the file - KL| <= (e^E - 1) A + E^2 / 2 + vocab e^-32 (L + 1).
// Typical errors are far smaller, since a row's coding errors are independent: KL(self) is about step^2 / 24 = 1e-8.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/reference/compact_row.h"
#include "eval/windows.h"

namespace bitloom {

inline constexpr char kReferenceMagic[] = "bitloomR";
inline constexpr uint32_t kReferenceVersion = 1, kCompactVersion = 2;
inline constexpr double kReferenceRange = 32.0;        // nats below the top that codes cover
inline constexpr double kReferenceBelow = 1e4;         // what stands for anything lower
inline constexpr uint16_t kReferenceLastCode = 65534;  // 65535: below the range

struct ReferenceHeader {
  uint64_t vocab = 0, windows = 0, rows = 0;
  std::string tokenizer_hash, text_hash, windows_hash, description;
  uint64_t entries = 0;  // of a compact row; 0: all log-probabilities
  uint64_t data_offset = 0;

  bool is_compact() const { return entries > 0; }
  uint64_t id_bytes() const { return vocab <= 65536 ? 2 : 3; }
  uint64_t row_bytes() const {
    return is_compact() ? 16 + (entries * (4 + id_bytes()) + 3) / 4 * 4 : 12 + (2 * vocab + 3) / 4 * 4;
  }
  uint64_t file_bytes() const { return data_offset + rows * row_bytes(); }
};

/// What `windows` and hashes must agree with. `entries` 0: all log-probabilities.
ReferenceHeader reference_header(int64_t vocab, const TextWindows& windows, const std::string& tokenizer_hash,
                                 const std::string& text_hash, uint64_t entries = 0);

/// The most entries with which a compact file of these rows stays within `budget` bytes, and 0 (all log-probabilities)
/// when even those fit. Error(kUsage) naming `path`, budget and the least one when fewer than kLeastCompactEntries fit.
uint64_t entries_within(const ReferenceHeader& full, uint64_t budget, const std::string& path);

std::vector<std::byte> encode_reference_header(const ReferenceHeader& header);
/// Error(kRefused) naming `path` and what is wrong, the file's size against its header's included.
ReferenceHeader decode_reference_header(std::span<const std::byte> file, const std::string& path);

/// One finite row of logits [vocab] to header.row_bytes() bytes, and back to fp32 log-probabilities.
/// Decoding returns false when the row's scalars cannot be what encoding wrote.
void encode_reference_row(std::span<const float> logits, int64_t target, std::byte* out);
bool decode_reference_row(const std::byte* row, int64_t target, std::span<float> log_probs);

/// The same of a compact row; `out` has header.row_bytes() bytes.
void encode_compact_row(const CompactRow& row, const ReferenceHeader& header, std::byte* out);
bool decode_compact_row(const std::byte* in, const ReferenceHeader& header, CompactRow& row);

}  // namespace bitloom

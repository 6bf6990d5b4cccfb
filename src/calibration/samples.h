#pragma once
// Calibration text -> the token sequences that a model is observed on.
//
// calibration/ as a whole. Goals: a selection is a pure function of text, tokenizer, options and seed, made as the
// published scripts make it, so that their selections can be had again; whatever is needed to know the data goes with
// every figure; only the text that is chosen from is tokenized. Non-goals: running a model on it (observe/, pipeline/).

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/text_data.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

/// How sequences are chosen; L is `length`, T the tokens of a document (special tokens included, as the tokenizer adds
/// them), `random` CPython's random.Random(seed) (python_random.h).
///
///   gptq    windows of L tokens as GPTQ's released scripts draw them (datautils.py, get_c4 and get_wikitext2), drawn
///           with replacement:
///             several documents: for every sample, i = randint(0, documents - 1) again and again until document i has
///               T > L; then start = randint(0, T - L - 1) and the window [start, start + L). (The scripts accept
///               T >= L, but T = L makes their next draw fail: randint(0, -1). The last window, start = T - L, is never
///               drawn.)
///             one document: for every sample start = randint(0, T - L - 1) in the document, which is tokenized once.
///             No document with T > L (the scripts would search forever): all are joined to one stream, drawn from as
///               one document.
///           A published selection is matched when the file has the same documents in the same order (C4:
///           jsonl:text of the first train shard; WikiText-2: hf-rows of wiki.train.raw), and the tokenizer gives the
///           same ids.
///   packed  documents in the order that random.shuffle gives their indices, joined, cut into consecutive windows of L;
///           the first ones in that order. Of one document the windows are shuffled instead, and the first ones taken.
///           kAllWindows samples: all that there are.
///   rows    one document, one sequence: the first L tokens; shorter documents as they are. Documents in the order that
///           random.shuffle gives their indices; those of fewer than 2 tokens are passed over.
///
/// Documents are joined by EOS (one that ends with EOS gets no second), by the tokens of "\n\n" where the tokenizer has
/// none; each begins with BOS where the tokenizer adds one.
enum class SamplingRule { kGptq, kPacked, kRows };

/// Error(kUsage) naming the nearest and the allowed spellings: gptq, packed, rows.
SamplingRule parse_sampling_rule(const std::string& text);
std::string to_string(SamplingRule rule);

/// What the file holds: text (plain, hf-rows, jsonl:FIELD; split_documents() of io/text_data.h says what a document is)
/// or token ids ("tokens"): one document a line, its ids as a JSON array or separated by white space, taken as they
/// stand; blank lines are passed over.
struct CalibrationFormat {
  bool tokens = false;
  TextFormat text;  // when not tokens
};

/// Error(kUsage) naming the nearest and the allowed spellings.
CalibrationFormat parse_calibration_format(const std::string& text);
std::string to_string(const CalibrationFormat& format);

inline constexpr int64_t kAllWindows = 0;

struct CalibrationOptions {
  std::string file;  // empty: the built-in text; *.xz is unpacked
  CalibrationFormat format;
  SamplingRule rule = SamplingRule::kGptq;
  int64_t samples = 128, length = 2048;
  uint64_t seed = 0;
};

struct CalibrationSet {
  std::vector<std::vector<int32_t>> sequences;  // gptq, packed: `length` tokens each; rows: 2 to `length`
  std::string source;                           // the file's name without directory, or "built-in mixed text"
  std::string sha256;                           // of the file's bytes, unpacked when it is an .xz file
  std::string tokenizer_sha256;
  std::string description;     // one line: goes with every figure
  CalibrationOptions options;  // samples: as many as there are

  int64_t tokens() const;
  /// SHA-256 of the choice: per sequence its length and its ids, each a little-endian u32.
  std::string ids_sha256() const;
};

/// `tokenizer`: null for a model without one, which takes token ids only. `vocab_size`: rows of the model's embedding;
/// every id is less. Error(kUsage) for options that make no sense. Error(kRefused) for a text that cannot be read, with
/// line or byte offset; an id outside the vocabulary; too little text for the request (gptq and packed: fewer than
/// samples x length tokens), with the tokens there are, those needed and those missing. Error(kFailed) when the
/// built-in text is not found.
CalibrationSet sample_calibration(const Tokenizer* tokenizer, int64_t vocab_size, const CalibrationOptions& options);

/// source, sha256, format, rule, samples, length, seed, tokens, ids_sha256, tokenizer_sha256, description.
Json to_json(const CalibrationSet& set);

}  // namespace bitloom

#pragma once
// A look at the tokenizer before anything is measured: how it cuts digits, and which ways of asking it can carry.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/arithmetic/problem/prompt.h"

namespace bitloom::arithmetic {

enum class DigitCut {
  kSingle,          // every digit a token: Llama-2, SmolLM2
  kThreeFromLeft,   // "106|421|22": cl100k, Llama-3
  kThreeFromRight,  // "10|642|122"
  kIrregular,       // by frequency, as GPT-2 and GPT-NeoX cut
  kMerged,          // some token holds digits and other characters
};

/// "single digits", "three from the left" ...
std::string to_string(DigitCut cut);

/// The cuts of random numbers in one place. Numbers of one digit say nothing and are left out, unless they
/// merge. Two or three digits in one token, or six or nine in threes, say nothing of the side: they count to the side
/// that the others are from.
struct CutCount {
  std::string place;                 // "bare", "after +"
  DigitCut cut = DigitCut::kSingle;  // what all of them are, else kIrregular or kMerged
  int64_t numbers = 0;
  int64_t single = 0, left = 0, right = 0, irregular = 0, merged = 0;
  std::string example;  // of an irregular or merged one where there is any, else of the longest
};

struct TokenizerProbe {
  std::vector<CutCount> places;
  DigitCut cut = DigitCut::kSingle;  // where all places agree; else kIrregular
};

/// Twenty random numbers of each length from 1 to 9 digits: bare, before and after "+", after "=", a blank, a line
/// break and every separator. A blank, line break or separator may merge with digits without harm to formats that lack
/// it, so `cut` looks at bare, "+" and "=" alone.
TokenizerProbe probe_tokenizer(const Tokenizer& tokenizer, uint64_t seed);

struct Refusal {
  std::string condition, reason;
  std::string example;  // the pieces that show it: "12|,3|45"
};

/// Whether the tokens of this condition's questions and replies are what its name says. None when they are, else why
/// not: a token holds digits and something else; a chunk of a separator format is neither one token nor single digits
/// throughout; the prompt's last tokens change when a reply follows. `exercises` are asked in turn, with the first
/// shot.
std::optional<Refusal> check_condition(const Prompter& prompter, const Condition& condition,
                                       std::span<const Exercise> exercises);

}  // namespace bitloom::arithmetic

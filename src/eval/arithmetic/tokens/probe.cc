#include "eval/arithmetic/tokens/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/rng.h"
#include "eval/arithmetic/tokens/pieces.h"

namespace bitloom::arithmetic {
namespace {

constexpr int kNumbersPerLength = 20, kLongest = 9;
constexpr uint64_t kProbeStream = 0x6170'0000'0000'0000;

struct Place {
  const char* name;
  const char* text;  // what stands before the number
  bool decides;      // whether TokenizerProbe::cut looks at it
};
constexpr std::array<Place, 10> kPlaces = {{{"bare", "", true},
                                            {"after +", "x+", true},
                                            {"after =", "x=", true},
                                            {"after a line break", "\n", false},
                                            {"after a blank", "x ", false},
                                            {"after ,", "x,", false},
                                            {"after .", "x.", false},
                                            {"after #", "x#", false},
                                            {"after $", "x$", false},
                                            {"before +", "", true}}};

std::string random_number(int digits, Rng& rng) {
  std::string number;
  for (int i = 0; i < digits; ++i)
    number += static_cast<char>((i == 0 ? '1' : '0') + rng.next_u32() % (i == 0 ? 9 : 10));
  return number;
}

bool all_digits(const std::string& piece) { return std::all_of(piece.begin(), piece.end(), is_digit); }

/// A piece with digits and other characters; none: empty.
std::string mixed_piece(std::span<const std::string> pieces) {
  for (const std::string& piece : pieces)
    if (!all_digits(piece) && std::any_of(piece.begin(), piece.end(), is_digit)) return piece;
  return "";
}

std::vector<int> threes(int digits, bool from_left) {
  std::vector<int> out(static_cast<size_t>(digits / kChunkDigits), kChunkDigits);
  if (digits % kChunkDigits != 0) out.insert(from_left ? out.end() : out.begin(), digits % kChunkDigits);
  return out;
}

/// The cut of a number among other text. From both sides alike: kThreeFromLeft.
DigitCut cut_of(std::span<const std::string> pieces, const std::string& number) {
  if (!mixed_piece(pieces).empty()) return DigitCut::kMerged;
  // Looked for, since a character that the vocabulary lacks may be missing in front of it.
  const size_t begin = std::accumulate(pieces.begin(), pieces.end(), std::string()).find(number);
  if (begin == std::string::npos) return DigitCut::kIrregular;
  const int digits = static_cast<int>(number.size());
  std::vector<int> lengths;
  for (const DigitToken& token : digit_tokens(pieces, begin, begin + number.size())) lengths.push_back(token.digits);
  if (std::ssize(lengths) == digits) return DigitCut::kSingle;
  if (lengths == threes(digits, true)) return DigitCut::kThreeFromLeft;
  if (lengths == threes(digits, false)) return DigitCut::kThreeFromRight;
  return DigitCut::kIrregular;
}

/// Whether threes from the left and from the right are the same cut.
bool is_neutral(int digits) { return digits <= kChunkDigits || digits % kChunkDigits == 0; }

DigitCut verdict(const CutCount& count) {
  if (count.merged > 0) return DigitCut::kMerged;
  if (count.single == count.numbers) return DigitCut::kSingle;
  if (count.left == count.numbers) return DigitCut::kThreeFromLeft;
  if (count.right == count.numbers) return DigitCut::kThreeFromRight;
  return DigitCut::kIrregular;
}

void count_cut(DigitCut cut, CutCount& count) {
  ++count.numbers;
  ++(cut == DigitCut::kSingle           ? count.single
     : cut == DigitCut::kThreeFromLeft  ? count.left
     : cut == DigitCut::kThreeFromRight ? count.right
     : cut == DigitCut::kMerged         ? count.merged
                                        : count.irregular);
}

/// Numbers that are in threes from both sides go to the side that the others are from.
void add_neutral(int64_t neutral, CutCount& count) {
  count.numbers += neutral;
  (count.right > count.left ? count.right : count.left) += neutral;
}

CutCount probe_place(const Tokenizer& tokenizer, const Place& place, uint64_t seed) {
  CutCount count;
  count.place = place.name;
  const bool before_plus = count.place == "before +";
  int64_t neutral = 0;
  bool has_bad_example = false;
  Rng rng(seed, kProbeStream);
  for (int digits = 1; digits <= kLongest; ++digits) {
    for (int i = 0; i < kNumbersPerLength; ++i) {
      const std::string number = random_number(digits, rng);
      const std::string text = place.text + number + (before_plus ? "+x" : "");
      const std::vector<std::string> pieces = pieces_of_text(tokenizer, text);
      const DigitCut cut = cut_of(pieces, number);
      if (digits == 1 && cut != DigitCut::kMerged) continue;
      if (cut == DigitCut::kThreeFromLeft && is_neutral(digits)) {
        ++neutral;
      } else {
        count_cut(cut, count);
      }
      const bool bad = cut == DigitCut::kIrregular || cut == DigitCut::kMerged;
      if (bad ? !has_bad_example : !has_bad_example) count.example = show_pieces(pieces);
      has_bad_example = has_bad_example || bad;
    }
  }
  add_neutral(neutral, count);
  count.cut = verdict(count);
  return count;
}

/// How chunks of more than one digit were cut so far.
struct ChunkWays {
  bool single = false, whole = false;
};

/// The first chunk that is neither one token nor single digits, or not like those before it; empty when all are well.
std::string uneven_chunk(std::span<const std::string> pieces, size_t begin, const std::vector<std::string>& chunks,
                         ChunkWays& ways) {
  for (const std::string& chunk : chunks) {
    const size_t tokens = digit_tokens(pieces, begin, begin + chunk.size()).size();
    if (chunk.size() > 1) {
      ways.whole |= tokens == 1;
      ways.single |= tokens == chunk.size();
      if ((tokens != 1 && tokens != chunk.size()) || (ways.single && ways.whole)) return chunk;
    }
    begin += chunk.size() + 1;
  }
  return "";
}

class ConditionCheck {
 public:
  ConditionCheck(const Prompter& prompter, const Condition& condition) : prompter_(prompter), condition_(condition) {}

  std::optional<Refusal> check(const Exercise& exercise, const Exercise& shot) {
    const std::string question = question_of(exercise, condition_), reply = reply_of(exercise, condition_);
    // As lines the two stand together; in a chat each is a turn of its own.
    if (prompter_.is_chat()) {
      if (auto bad = check_text(question)) return bad;
      if (auto bad = check_text(reply)) return bad;
    } else if (auto bad = check_text(question + reply + "\n" + question)) {
      return bad;
    }
    if (auto bad = check_chunks(exercise)) return bad;
    return check_boundary(exercise, shot);
  }

 private:
  Refusal refusal(const std::string& reason, std::span<const std::string> pieces) const {
    return {condition_.name, reason, show_pieces(pieces)};
  }

  std::optional<Refusal> check_text(const std::string& text) const {
    const std::vector<std::string> pieces = pieces_of_text(prompter_.tokenizer(), text);
    if (std::accumulate(pieces.begin(), pieces.end(), std::string()) != text)
      return refusal("the tokens do not decode to the text", pieces);
    const std::string mixed = mixed_piece(pieces);
    if (mixed.empty()) return std::nullopt;
    return refusal(fmt::format("digits merge with other characters in the token \"{}\"", show_pieces({&mixed, 1})),
                   pieces);
  }

  std::optional<Refusal> check_number(int64_t number, const NumberFormat& format) {
    if (format.separator == 0) return std::nullopt;
    const std::vector<std::string> chunks = chunks_of(std::to_string(number), format);
    const std::string text = "=" + format_number(number, format);
    const std::vector<std::string> pieces = pieces_of_text(prompter_.tokenizer(), text);
    const std::string uneven = uneven_chunk(pieces, 1, chunks, ways_);
    if (uneven.empty()) return std::nullopt;
    return refusal(fmt::format("its chunks are not cut alike, see \"{}\"", uneven), pieces);
  }

  std::optional<Refusal> check_chunks(const Exercise& exercise) {
    for (const int64_t number : {exercise.first, exercise.second})
      for (const NumberFormat& format : {condition_.query, condition_.repeat.value_or(condition_.query)})
        if (auto bad = check_number(number, format)) return bad;
    return check_number(exercise.answer, condition_.answer);
  }

  std::optional<Refusal> check_boundary(const Exercise& exercise, const Exercise& shot) const {
    const Prompt prompt = prompter_.make(condition_, exercise, {&shot, 1});
    if (prompt.reply_ids) return std::nullopt;
    const std::string text = question_of(exercise, condition_) + reply_of(exercise, condition_);
    return refusal("the prompt's last tokens change when a reply follows", pieces_of_text(prompter_.tokenizer(), text));
  }

  const Prompter& prompter_;
  const Condition& condition_;
  ChunkWays ways_;
};

}  // namespace

std::string to_string(DigitCut cut) {
  switch (cut) {
    case DigitCut::kSingle:
      return "single digits";
    case DigitCut::kThreeFromLeft:
      return "three from the left";
    case DigitCut::kThreeFromRight:
      return "three from the right";
    case DigitCut::kMerged:
      return "merged with other characters";
    case DigitCut::kIrregular:
      break;
  }
  return "irregular";
}

TokenizerProbe probe_tokenizer(const Tokenizer& tokenizer, uint64_t seed) {
  TokenizerProbe probe;
  bool first = true;
  for (const Place& place : kPlaces) {
    probe.places.push_back(probe_place(tokenizer, place, seed));
    if (!place.decides) continue;
    const DigitCut cut = probe.places.back().cut;
    if (!first && cut != probe.cut) probe.cut = DigitCut::kIrregular;
    if (first) probe.cut = cut;
    first = false;
  }
  return probe;
}

std::optional<Refusal> check_condition(const Prompter& prompter, const Condition& condition,
                                       std::span<const Exercise> exercises) {
  ConditionCheck check(prompter, condition);
  for (size_t i = 0; i < exercises.size(); ++i)
    if (auto refusal = check.check(exercises[i], exercises[(i + 1) % exercises.size()])) return refusal;
  return std::nullopt;
}

}  // namespace bitloom::arithmetic

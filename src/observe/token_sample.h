#pragma once
// A sample of the tokens that a linear layer reads, kept as they are, from which sums over all tokens can be estimated:
// priority sampling (Duffield, Lund and Thorup, J. ACM 54(6), 2007) by squared lengths.
//
//   of tokens x with w = |x|^2 those with the greatest w / u are kept, u in (0, 1] from a hash of the token's number;
//   each counts max(1, tau / w) times, tau the greatest w / u that is not kept
//
// So errors that grow with w, such as those of rounding, have unbiased sums, and the few tokens far larger than all
// others (the first of a text, in many models) are always there and count once. The sample depends on the tokens and
// their numbers alone, not on the order in which they come, nor on who of several saw which.

#include <cstdint>
#include <span>
#include <vector>

namespace bitloom {

class TokenSample {
 public:
  /// At most `most` tokens of `channels` channels.
  TokenSample(int64_t channels, int64_t most);

  /// Rows of x [numbers.size(), channels], contiguous, and the number of each, which no other token of the data has.
  /// Rows with a non-finite value and rows of zeros are passed over.
  void add(const float* x, std::span<const int64_t> numbers);
  /// The same of rows with the numbers from `first` on.
  void add(const float* x, int64_t tokens, int64_t first);

  int64_t channels() const { return channels_; }
  int64_t most() const { return most_; }
  int64_t tokens() const;
  /// [tokens, channels], the greatest w / u first, and how often each counts [tokens].
  std::vector<float> rows() const;
  std::vector<double> counts() const;

  /// The rows and the first one that is no longer among them, with their numbers: what another sample has to be given
  /// for the sample of both.
  std::vector<float> kept() const;
  std::vector<int64_t> kept_numbers() const;

 private:
  struct Token {
    double priority, square;  // w / u, w
    int64_t number, place;    // of its row in values_
    bool operator<(const Token& other) const { return priority > other.priority; }
  };
  std::vector<Token> in_order() const;
  std::vector<float> rows_of(int64_t count) const;
  void add_row(const float* row, int64_t number);

  int64_t channels_, most_;
  std::vector<Token> kept_;    // a heap of most + 1, the least priority first
  std::vector<float> values_;  // a row of each
};

}  // namespace bitloom

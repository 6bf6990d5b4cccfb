#pragma once
// How a number is written: bare, or in chunks of three digits that a separator keeps apart.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom::arithmetic {

inline constexpr int kChunkDigits = 3;

struct NumberFormat {
  std::string name = "nosep";
  char separator = 0;       // 0: none
  bool from_right = false;  // chunks aligned to place value ("1,234"), else from the left ("123,4")
};

/// "nosep", or one of comma, space, dec, hashtag, dollar with _r2l or _l2r. Error(kUsage) naming `flag` and the allowed
/// ones.
NumberFormat parse_number_format(const std::string& name, const std::string& flag);

/// Every name that parse_number_format takes.
std::vector<std::string> number_format_names();

/// The digits of a number in chunks: "1064" -> {"1", "064"} from the right, {"106", "4"} from the left; one chunk
/// without a separator.
std::vector<std::string> chunks_of(std::string_view digits, const NumberFormat& format);

std::string format_digits(std::string_view digits, const NumberFormat& format);
std::string format_number(int64_t number, const NumberFormat& format);

/// Whether a character may stand between the digits of an answer: a separator of any format.
bool is_separator(char c);

}  // namespace bitloom::arithmetic

#pragma once
// Small floating-point numbers: sign, exponent, mantissa, 3 to 8 bits in all (papers' floating-point page, 0.1).
//
//   e == 0 :  v = (-1)^s * 2^(1-bias) * (m / 2^M)          zero and subnormals
//   e  > 0 :  v = (-1)^s * 2^(e-bias) * (1 + m / 2^M)      unless reserved
//
// Names. There are three different "E4M3" in use, with maxima 448, 480 and 240, so a name says what is reserved:
//   e4m3      every code is a number (Brevitas, qtorch, DeepSpeed, the papers' ExMy)          max 480
//   e4m3fn    only S.1111.111 is NaN, no infinity: OCP FP8 E4M3, torch.float8_e4m3fn          max 448
//   e4m3-ieee top exponent is infinity and NaN; e5m2-ieee is OCP FP8 E5M2, torch.float8_e5m2  max 240
//   e4m3fnuz  no -0, its code is the one NaN, bias one higher                                 max 240
// E2M1, E2M3 and E3M2 of OCP MX reserve nothing and need no suffix. A bias other than the usual stands before the
// suffix, as in "e4m3b8" (Qualcomm's) or "e4m3b11fnuz".

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/codec.h"
#include "format/grid.h"

namespace bitloom {

/// Which codes are no finite number.
enum class Reserve { kNone, kFn, kIeee, kFnuz };

struct MinifloatFormat {
  int exponent = 4, mantissa = 3;  // exponent >= 1, mantissa >= 0, 3..8 bits in all with the sign
  int bias = 7;
  Reserve reserve = Reserve::kNone;  // other than kNone: exponent >= 2 and mantissa >= 1
  bool operator==(const MinifloatFormat&) const = default;
};

/// 2^(E-1) - 1, one more for kFnuz.
int usual_bias(int exponent, Reserve reserve);
/// The largest finite value: (2 - 2^-M) 2^(e_top - bias), one mantissa step less for kFn.
float max_value(const MinifloatFormat& format);
inline int bits_of(const MinifloatFormat& f) { return 1 + f.exponent + f.mantissa; }
/// The value of a code, infinities and NaN included.
float decode_minifloat(const MinifloatFormat& format, uint8_t code);

/// The OCP formats that other folders name.
inline constexpr MinifloatFormat kE2M1{2, 1, 1, Reserve::kNone};
inline constexpr MinifloatFormat kE4M3Fn{4, 3, 7, Reserve::kFn};
inline constexpr MinifloatFormat kE5M2Ieee{5, 2, 15, Reserve::kIeee};

struct MinifloatCodec {
  using Value = MinifloatFormat;
  static constexpr std::string_view kFamily = "minifloat";
  static constexpr std::string_view kSpelling = "eXmY[bBIAS][fn|-ieee|fnuz] of 3 to 8 bits";
  static std::optional<MinifloatFormat> find(std::string_view text);
  static std::string name(const MinifloatFormat& format);
  static std::string note(const MinifloatFormat& format);
  static std::vector<std::string> examples();
  static int bits(const MinifloatFormat& f) { return bits_of(f); }
  static Grid grid(const MinifloatFormat& format);
  static FormatLimits limits(const MinifloatFormat& format);
  static std::unique_ptr<const ArrayEncoder> arithmetic(const MinifloatFormat& format);
};

}  // namespace bitloom

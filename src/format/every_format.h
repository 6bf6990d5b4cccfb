#pragma once
// For tests only: every format worth trying.

#include <vector>

#include "format/format.h"

namespace bitloom::testing {

inline std::vector<IntFormat> every_int() {
  std::vector<IntFormat> all;
  for (int bits = 2; bits <= 8; ++bits) {
    for (int fraction = 0; fraction < bits; ++fraction) {
      for (const bool narrow : {false, true}) all.push_back({bits, narrow, fraction});
    }
  }
  return all;
}

/// All of 3 to 8 bits with every reserve rule that applies, at the usual bias, and two others of E4M3.
inline std::vector<MinifloatFormat> every_minifloat() {
  std::vector<MinifloatFormat> all = {
      {4, 3, 8, Reserve::kNone}, {4, 3, 11, Reserve::kFnuz}, {3, 2, -4, Reserve::kNone}};
  for (int bits = 3; bits <= 8; ++bits) {
    for (int e = 1; e < bits; ++e) {
      const int m = bits - 1 - e;
      for (const Reserve reserve : {Reserve::kNone, Reserve::kFn, Reserve::kIeee, Reserve::kFnuz}) {
        if (reserve == Reserve::kNone || (e >= 2 && m >= 1)) all.push_back({e, m, usual_bias(e, reserve), reserve});
      }
    }
  }
  return all;
}

inline std::vector<TableFormat> every_table() {
  std::vector<float> many;
  for (int i = -100; i < 156; ++i) many.push_back(static_cast<float>(i) * 0.37f + 0.01f);
  return {*TableCodec::find("nf4"),
          *TableCodec::find("iq4nl"),
          *TableCodec::find("fp4-bnb"),
          *TableCodec::find("pow2[0.5]"),
          *TableCodec::find("pow4[0.55]"),
          *TableCodec::find("pow8[0.45]"),
          make_table({-1, 1}),
          make_table({-1, 0, 1}),
          make_table({0.5f, 0.75f, 3}),
          make_table({-8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048}),
          make_table({-1e-30f, 1e-12f, 0.1f, 3e30f}),
          make_table(many)};
}

inline std::vector<Format> every_format() {
  std::vector<Format> all;
  for (const auto& f : every_int()) all.emplace_back(f);
  for (const auto& f : every_minifloat()) all.emplace_back(f);
  for (const auto& f : every_table()) all.emplace_back(f);
  return all;
}

}  // namespace bitloom::testing

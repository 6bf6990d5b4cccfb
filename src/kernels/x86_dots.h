#pragma once
// For sources compiled with AVX-512 and VNNI: internal to each.

#include <immintrin.h>

#include <cstdint>

namespace bitloom {
namespace {

/// sum += products of four bytes, unsigned, of each lane and of four signed ones that all lanes share. These are an
/// operand of the instruction itself: GCC 12 would broadcast them by one of their own, and a core that two threads
/// share fetches too few of them.
inline void add_dots(__m512i bytes, const int8_t* four, __m512i& sum) {
  using Four __attribute__((may_alias)) = int32_t;
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(bytes), "m"(*reinterpret_cast<const Four*>(four)));
}

}  // namespace
}  // namespace bitloom

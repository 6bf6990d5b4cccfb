// A packed text.
#include "io/xz.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  constexpr size_t kLimit = size_t{1} << 19;
  fuzz::most_fixed = 4 * kLimit;  // what is unpacked while its string grows, and a buffer
  return fuzz::accept_or_refuse(ErrorKind::kRefused, "fuzz",
                                [&] { unpack_xz(fuzz::text_of(data, size), "fuzz", kLimit); });
}

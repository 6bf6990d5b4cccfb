#include "base/memory/large_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace bitloom {

LargeBuffer make_large_buffer(size_t count) {
  constexpr size_t kPage = size_t{2} << 20, kLine = 64;
  const size_t bytes = std::max<size_t>(count * sizeof(float), 1), page = bytes < kPage ? kLine : kPage;
  const size_t whole = (bytes + page - 1) / page * page;
  LargeBuffer buffer(static_cast<float*>(std::aligned_alloc(page, whole)));
  if (buffer == nullptr) throw std::bad_alloc();
  if (page == kPage) ::madvise(buffer.get(), whole, MADV_HUGEPAGE);  // a wish: small pages do as well
  return buffer;
}

}  // namespace bitloom

#include "io/xz.h"

#include <lzma.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

// xz -9 decodes in 65 MiB; whoever asks for much more is no ordinary file.
constexpr uint64_t kMaxMemory = uint64_t{128} << 20;
constexpr size_t kPiece = size_t{1} << 18;

struct Stream {
  lzma_stream state = LZMA_STREAM_INIT;
  Stream() = default;
  ~Stream() { lzma_end(&state); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

[[noreturn]] void refuse_code(lzma_ret code, uint64_t position, size_t size, const std::string& origin) {
  switch (code) {
    case LZMA_FORMAT_ERROR:
      refuse("{}: not an .xz file at byte {}", origin, position);
    case LZMA_BUF_ERROR:
      refuse("{}: .xz data cut off at byte {}", origin, size);
    case LZMA_MEMLIMIT_ERROR:
      refuse("{}: .xz data at byte {} needs more than {} of memory to unpack", origin, position,
             human_bytes(static_cast<int64_t>(kMaxMemory)));
    case LZMA_OPTIONS_ERROR:
      refuse("{}: .xz data at byte {} uses a filter or option that is not supported", origin, position);
    case LZMA_MEM_ERROR:
      fail(ErrorKind::kFailed, "{}: no memory to unpack it", origin);
    default:
      refuse("{}: damaged .xz data before byte {}", origin, position);
  }
}

}  // namespace

std::string unpack_xz(std::string_view packed, const std::string& origin, size_t limit) {
  Stream stream;
  lzma_stream& state = stream.state;
  if (lzma_stream_decoder(&state, kMaxMemory, LZMA_CONCATENATED) != LZMA_OK)
    fail(ErrorKind::kFailed, "{}: no memory to unpack it", origin);
  state.next_in = reinterpret_cast<const uint8_t*>(packed.data());
  state.avail_in = packed.size();
  std::string text;
  std::vector<uint8_t> piece(kPiece);
  for (lzma_ret code = LZMA_OK; code != LZMA_STREAM_END;) {
    state.next_out = piece.data();
    state.avail_out = piece.size();
    // All input is there already, so a decoder that wants more has met the end of a file cut off.
    code = lzma_code(&state, LZMA_FINISH);
    const size_t count = piece.size() - state.avail_out;
    if (count > limit - text.size()) {
      refuse("{}: .xz data at byte {} unpacks to more than {}", origin, state.total_in,
             human_bytes(static_cast<int64_t>(limit)));
    }
    text.append(reinterpret_cast<const char*>(piece.data()), count);
    if (code != LZMA_OK && code != LZMA_STREAM_END) refuse_code(code, state.total_in, packed.size(), origin);
  }
  return text;
}

}  // namespace bitloom

#include "pipeline/walk/stream/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/memory/dtype.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

DType dtype_of(ActivationPrecision precision) {
  return precision == ActivationPrecision::kF32 ? DType::kF32 : DType::kBF16;
}

}  // namespace

int64_t ActivationShape::bytes() const {
  const int64_t rows = std::accumulate(chunk_rows.begin(), chunk_rows.end(), int64_t{0});
  const int64_t width = std::accumulate(widths.begin(), widths.end(), int64_t{0});
  return bytes_of(dtype_of(precision), rows * width);
}

ActivationStore::ActivationStore(ActivationShape shape, const std::string& directory) : shape_(std::move(shape)) {
  int64_t at = 0;
  const int64_t width = std::accumulate(shape_.widths.begin(), shape_.widths.end(), int64_t{0});
  for (const int64_t rows : shape_.chunk_rows) {
    chunk_begin_.push_back(at);
    at += bytes_of(dtype_of(shape_.precision), rows * width);
  }
  if (directory.empty()) {
    memory_.resize(static_cast<size_t>(at));
    return;
  }
  path_ = directory + "/activations-XXXXXX";
  file_ = ::mkostemp(path_.data(), O_CLOEXEC);
  if (file_ < 0) fail_errno("cannot create");
  ::unlink(path_.c_str());
  if (const int error = ::posix_fallocate(file_, 0, at); error != 0) {
    ::close(file_);
    fail(ErrorKind::kFailed, "{}: no room for {} of activations: {}", path_, human_bytes(at),
         std::generic_category().message(error));
  }
}

ActivationStore::~ActivationStore() {
  if (file_ >= 0) ::close(file_);
}

void ActivationStore::put(int64_t chunk, int slot, const float* x, int64_t width) {
  assert(width <= shape_.widths[static_cast<size_t>(slot)]);
  const int64_t count = shape_.chunk_rows[static_cast<size_t>(chunk)] * width;
  const DType dtype = dtype_of(shape_.precision);
  const auto bytes = static_cast<size_t>(bytes_of(dtype, count));
  if (!in_file()) return encode_from_f32(dtype, x, count, memory_.data() + place(chunk, slot));
  if (transfer_.size() < bytes) transfer_.resize(bytes);
  encode_from_f32(dtype, x, count, transfer_.data());
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::pwrite(file_, transfer_.data() + done, bytes - done,
                               static_cast<off_t>(place(chunk, slot) + static_cast<int64_t>(done)));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_errno("cannot write activations");
    done += static_cast<size_t>(n);
  }
}

void ActivationStore::get(int64_t chunk, int slot, float* x, int64_t width) const {
  const int64_t count = shape_.chunk_rows[static_cast<size_t>(chunk)] * width;
  const DType dtype = dtype_of(shape_.precision);
  const auto bytes = static_cast<size_t>(bytes_of(dtype, count));
  if (!in_file()) return decode_to_f32(dtype, memory_.data() + place(chunk, slot), 0, count, x);
  if (transfer_.size() < bytes) transfer_.resize(bytes);
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::pread(file_, transfer_.data() + done, bytes - done,
                              static_cast<off_t>(place(chunk, slot) + static_cast<int64_t>(done)));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_errno("cannot read activations");
    done += static_cast<size_t>(n);
  }
  decode_to_f32(dtype, transfer_.data(), 0, count, x);
}

int64_t ActivationStore::place(int64_t chunk, int slot) const {
  int64_t width = 0;
  for (int s = 0; s < slot; ++s) width += shape_.widths[static_cast<size_t>(s)];
  const int64_t rows = shape_.chunk_rows[static_cast<size_t>(chunk)];
  return chunk_begin_[static_cast<size_t>(chunk)] + bytes_of(dtype_of(shape_.precision), rows * width);
}

void ActivationStore::fail_errno(const char* action) const {
  fail(ErrorKind::kFailed, "{}: {}: {}", path_, action, std::generic_category().message(errno));
}

}  // namespace bitloom

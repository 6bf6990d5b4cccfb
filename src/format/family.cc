#include "format/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace bitloom {
namespace {

const TensorPart& find_part(const std::string& name, const std::vector<TensorPart>& parts, const std::string& suffix) {
  for (const TensorPart& part : parts) {
    if (part.suffix == suffix) return part;
  }
  refuse("{}: its part {} is missing", name, suffix);
}

void check_dtype(const std::string& name, const std::string& storage, const TensorPart& have, const TensorPart& want) {
  if (have.dtype == want.dtype) return;
  refuse("{}{}: dtype is {}, {} needs {}", name, want.suffix, info(have.dtype).name, storage, info(want.dtype).name);
}

void check_bytes(const std::string& name, const TensorPart& have) {
  if (static_cast<int64_t>(have.bytes.size()) == bytes_of(have)) return;
  refuse("{}{}: holds {} bytes, its shape needs {}", name, have.suffix, have.bytes.size(), bytes_of(have));
}

}  // namespace

int64_t bytes_of(const TensorPart& part) {
  int64_t count = 1;
  for (const int64_t n : part.shape) count *= n;
  return bytes_of(part.dtype, count);
}

TensorPart checked_part(const std::string& name, const std::string& storage, const std::vector<TensorPart>& parts,
                        const TensorPart& want) {
  const TensorPart& have = find_part(name, parts, want.suffix);
  check_dtype(name, storage, have, want);
  if (have.shape != want.shape) {
    refuse("{}{}: shape is [{}], {} needs [{}]", name, want.suffix, fmt::join(have.shape, ", "), storage,
           fmt::join(want.shape, ", "));
  }
  check_bytes(name, have);
  return have;
}

TensorPart bounded_part(const std::string& name, const std::string& storage, const std::vector<TensorPart>& parts,
                        const TensorPart& want) {
  const TensorPart& have = find_part(name, parts, want.suffix);
  check_dtype(name, storage, have, want);
  if (have.shape.size() != 1 || have.shape[0] < 0 || have.shape[0] > want.shape[0]) {
    refuse("{}{}: shape is [{}], {} needs one dimension of at most {}", name, want.suffix, fmt::join(have.shape, ", "),
           storage, want.shape[0]);
  }
  check_bytes(name, have);
  return have;
}

}  // namespace bitloom

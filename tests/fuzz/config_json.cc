// config.json: a graph of it, and the tensors that it needs.
#include "fuzz.h"
#include "io/json.h"
#include "model/architecture.h"

namespace {

struct NoNames final : bitloom::TensorNames {
  bool has(const std::string&) const override { return false; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  fuzz::most_fixed = int64_t{256} << 20;  // a graph of as many layers and experts as the file says, within bounds
  return fuzz::accept_or_refuse(ErrorKind::kRefused, "fuzz", [&] {
    expected_tensors(build_graph(parse_json(fuzz::text_of(data, size), "fuzz"), "fuzz", NoNames()));
  });
}

// A recipe; what is accepted prints as it was read.
#include "fuzz.h"
#include "recipe/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kUsage, "fuzz", [&] {
    const Recipe recipe = parse_recipe(std::string(fuzz::text_of(data, size)), "fuzz");
    if (!(parse_recipe(to_yaml(recipe), "printed") == recipe)) throw std::logic_error("prints as another recipe");
  });
}

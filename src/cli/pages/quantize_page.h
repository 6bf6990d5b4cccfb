#pragma once
// The page of `quantize --html`: what was lost, where, and what it was made from.

#include <string>

#include "io/json.h"
#include "pipeline/quantize_model.h"
#include "recipe/recipe.h"
#include "report/page/page.h"

namespace bitloom {

/// `out` as the user named it; `manifest`: its bitloom.json; `record`: what --json prints.
Page quantize_page(const std::string& out, const QuantizeResult& result, const Recipe& recipe, const Json& manifest,
                   const Json& record);

}  // namespace bitloom

#pragma once
// What quantizing did to the matrices, as tables for people.

#include <string>
#include <vector>

#include "pipeline/quantize_model.h"

namespace bitloom {

/// A row for each scheme and way of rounding. Of matrices taken over from a quantized source no errors are known: "-".
std::string scheme_table(const std::vector<SiteRecord>& sites, bool bold);

/// A row for each kind of layer ("*.self_attn.q_proj.weight"), with its mean and worst errors, for recipes that looked
/// at data.
std::string layer_table(const std::vector<SiteRecord>& sites, bool bold);

/// A row for each matrix.
std::string site_table(const std::vector<SiteRecord>& sites, bool bold);

}  // namespace bitloom

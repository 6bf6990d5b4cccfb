#pragma once
// Options that a recipe file declares, and what stands for them in its steps:
//
//   options:
//     bits: 4                               # any text; this one by default
//     order: [group-aware, natural]         # one of these, the first by default
//     pair:                                 # one of these names, which stands for several texts
//       int-fp: {weights: int4, inputs: e4m3}
//       fp-fp: {weights: e2m1, inputs: e4m3}
//   steps:
//     - quantize: ${pair.weights}-g128
//       rounding: {gptq: {order: "${order}"}}
//
// NAME:order=natural,pair=fp-fp sets them. A recipe stays data: a value is put in the place of its name, in the texts
// of steps, and the result is read like any recipe.

#include <string>

#include "io/yaml_reader.h"

namespace bitloom {

/// Puts the options' values into root["steps"]. `given`: "OPTION=VALUE,...", or "". Returns those of them that are no
/// default, in the order of the file, likewise written. Error(kUsage) with the place in the file, or naming the option,
/// the value and what is allowed: an option that is not declared, is given twice, has no such value, is declared and
/// used nowhere; a name in "${...}" that is none.
std::string apply_file_options(const YamlReader& reader, YAML::Node root, const std::string& given);

}  // namespace bitloom

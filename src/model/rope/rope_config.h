#pragma once
// Rotary settings of a config.json, in both spellings (rope_theta + rope_scaling; rope_parameters), to frequencies.
//
// Goals: the types default, linear, llama3, yarn and longrope, with the numbers transformers computes.
// Non-goals: dynamic (its frequencies change while a sequence grows), mrope (needs image positions).
//
// Frequencies are computed in fp32, step by step in transformers' order: models were trained with those numbers.

#include <string>
#include <vector>

#include "model/config_reader.h"
#include "model/graph.h"

namespace bitloom {

/// What an architecture fixes about its rotary embedding.
struct RopeRules {
  int64_t head_dim = 0;
  int64_t max_positions = 0;
  std::string theta_key = "rope_theta";  // top-level keys of the older spelling
  std::string partial_key = "partial_rotary_factor";
  double default_theta = 10000.0;
  double default_partial = 1.0;
  bool partial = false;          // whether the model can rotate a part of the head only
  int64_t rotated = 0;           // channels that are rotated, where the model counts them; 0: by the partial factor
  bool alpha = false;            // dynamic with "alpha" is a fixed base, theta * alpha^(dim / (dim - 2)) (hunyuan)
  bool interleaved = false;      // pairs of neighbouring channels
  bool phi3_names = false;       // "su" and "yarn" with factor lists mean longrope; no other scaling exists
  int64_t default_original = 0;  // original_max_position_embeddings, whose top-level key wins over the nested one; 0:
                                 // the nested key wins, else max_positions
};

/// A model whose layers share one rotary embedding.
Rope rope_from_config(const ConfigReader& config, const RopeRules& rules);

/// One settings object (rope_type, rope_theta, factor ...) that is complete but for defaults in `rules`.
Rope rope_from_settings(const ConfigReader& settings, const RopeRules& rules);

}  // namespace bitloom

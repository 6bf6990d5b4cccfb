#pragma once
// Rotary settings of a GGUF file as config.json says them.

#include "io/json.h"
#include "model/gguf/gguf_metadata.h"

namespace bitloom {

/// rope_scaling, or null when frequencies are unscaled. Without a type the format means "linear".
Json rope_scaling(const GgufMetadata& data);

/// partial_rotary_factor: the factor for which int(head_dim * factor), as config.json's readers compute it, is the
/// number of channels that turn.
double partial_factor(const GgufMetadata& data);

/// Error(kRefused) where only a part of a head's channels turns.
void require_whole_heads(const GgufMetadata& data);

}  // namespace bitloom

#pragma once

namespace bitloom {

/// How activations of the calibration sequences are kept from one block to the next.
enum class ActivationPrecision { kF32, kBF16 };

}  // namespace bitloom

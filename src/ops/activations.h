#pragma once

namespace bitloom {

/// What a product with few tokens does to its input: nothing (fp32 throughout), or rounding to 8 bits in blocks of 32
/// columns where its kernel has an integer form.
enum class Activations { kExact, kInt8 };

}  // namespace bitloom

#pragma once

namespace bitloom {

/// What a product with few tokens does to its input: nothing, or what fp32 sums do as well (24 bits in blocks of 32
/// columns, see kernels/int_dot); or rounding to 8 bits in such blocks where its kernel has such a form.
enum class Activations { kExact, kInt8 };

}  // namespace bitloom

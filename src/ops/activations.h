#pragma once

namespace bitloom {

/// What a product does to its input: nothing, or, with few tokens, what fp32 sums do as well (24 bits in blocks of 32
/// columns, see kernels/int_dot; lattice points and vectors of blocks in runs of up to 512); or rounding to 8 bits in
/// such blocks where its kernels have such a form, which levels of tables that are no integers share, and with many
/// tokens to BF16 beside dense BF16 weights, where the processor multiplies such.
enum class Activations { kExact, kInt8 };

}  // namespace bitloom

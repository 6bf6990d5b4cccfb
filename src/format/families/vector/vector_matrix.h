#pragma once
// Reading and making matrices of the base family "vector".

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/families/vector/vector_codes.h"

namespace bitloom {

/// A matrix over parts that somebody else owns; its codebooks are held in fp32 besides. Error(kRefused), starting with
/// `name`, for parts that are missing or do not fit.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const VectorStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// The bytes of the parts, in the order of greatest_parts. codes [rows, groups, M]; codebooks [M, 2^B, G] and scales
/// [rows], rounded to fp16.
std::vector<std::vector<std::byte>> pack_vectors(const VectorStorage& storage, int64_t rows, int64_t cols,
                                                 std::span<const uint16_t> codes, std::span<const float> codebooks,
                                                 std::span<const float> scales);

}  // namespace bitloom

#pragma once
// Looking at dense tensors a piece at a time: are they finite, which dtype holds them exactly.

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "base/memory/dtype.h"
#include "base/memory/row_source.h"
#include "base/threads.h"

namespace bitloom {

/// Error(kRefused) "PLACE: tensor 'NAME' holds NaN at [row, column]": the first one, whatever the number of threads.
void require_finite(const std::string& place, const std::string& name, const RowSource& rows, ThreadPool& threads);

/// The narrowest of BF16, F16 and F32 that holds every value exactly (BF16 when both 16-bit types do).
DType narrowest_exact_dtype(const RowSource& rows, ThreadPool& threads);

/// The whole tensor as `dtype` (F32, F16 or BF16), in order, a bounded piece at a time.
void encode_pieces(const RowSource& rows, DType dtype, ThreadPool& threads,
                   const std::function<void(std::span<const std::byte>)>& write);

}  // namespace bitloom

#pragma once
// Reading and making matrices of the base family "codebook".

#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/families/codebook/codebook_storage.h"

namespace bitloom {

/// A matrix over parts that somebody else owns. Error(kRefused), starting with `name`, for parts that are missing or do
/// not fit the storage; widths are checked here, since every size follows from them.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const CodebookStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// A column as it is chosen: codes [rows] < 2^bits and the table [2^bits].
struct CodebookColumn {
  int bits = 0;
  std::vector<uint8_t> codes;
  std::vector<float> table;  // rounded to fp16 when packed
};
/// The bytes of -col's parts, in the order of greatest_parts; null: on the caller's thread alone.
std::vector<std::vector<std::byte>> pack_columns(const std::vector<CodebookColumn>& columns,
                                                 ThreadPool* threads = nullptr);

}  // namespace bitloom

#pragma once
// data.pkl of a torch checkpoint: the pickle that says which tensors there are and where their bytes lie.
//
// A pickle is a program. This reads the one that torch.save writes for a state dict, by a list of what may stand in it:
// opcodes that build dicts, tuples, texts and whole numbers, and the few functions of torch that make a tensor of a
// storage, which here make a description. Nothing is called, imported or allocated on the pickle's word: whatever else
// it asks for is refused by its name. Values refer to the pickle's bytes, so memory is a small multiple of its size.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory/dtype.h"

namespace bitloom {

/// Bytes of the archive, archive/data/KEY.
struct PickledStorage {
  std::string_view key;
  std::optional<DType> dtype;  // nullopt: bytes of no type (UntypedStorage)
  int64_t elements = 0;        // of dtype; of bytes without one
};

/// Elements offset + sum_d index_d strides_d of a storage. No number is negative; nothing else of it is checked.
struct PickledTensor {
  size_t storage = 0;  // of StateDict::storages
  DType dtype = DType::kF32;
  int64_t offset = 0;
  std::vector<int64_t> shape, strides;
};

struct StateDict {
  std::vector<PickledStorage> storages;
  std::vector<std::pair<std::string_view, PickledTensor>> tensors;  // in the dict's order; no name twice
};

/// Texts of the result lie in `pickle`. `origin` starts messages. Error(kRefused) for anything but a dict of tensors.
StateDict read_state_dict(std::span<const std::byte> pickle, const std::string& origin);

}  // namespace bitloom

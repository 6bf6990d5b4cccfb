#pragma once
// What may stand in data.pkl: opcodes (Python's pickletools) and functions and types of torch, each list closed.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/memory/dtype.h"

namespace bitloom {

/// The opcodes that torch.save writes for a state dict, protocols 2 to 5.
enum class PickleOp : uint8_t {
  kMark = '(',
  kStop = '.',
  kInt4 = 'J',
  kInt1 = 'K',
  kInt2 = 'M',
  kNone = 'N',
  kPersistentId = 'Q',
  kReduce = 'R',
  kText = 'X',
  kBuild = 'b',
  kGlobal = 'c',
  kGet1 = 'h',
  kGet4 = 'j',
  kPut1 = 'q',
  kPut4 = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kProtocol = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kTrue = 0x88,
  kFalse = 0x89,
  kLong1 = 0x8a,
  kShortText = 0x8c,
  kText8 = 0x8d,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

/// "INST (0x69)" of one that is none of these; its number alone where pickle has none such.
std::string opcode_name(uint8_t code);

enum class TorchGlobalKind : uint8_t { kOrderedDict, kRebuild, kRebuildTyped, kRebuildParameter, kStorage, kDType };

struct TorchGlobal {
  std::string_view module, name;
  TorchGlobalKind kind;
  std::optional<DType> dtype = std::nullopt;  // of a storage or a dtype; an untyped storage has none
};

/// Row of the list; nullopt for what no state dict needs.
std::optional<size_t> find_torch_global(std::string_view module, std::string_view name);
const TorchGlobal& torch_global(size_t row);

}  // namespace bitloom

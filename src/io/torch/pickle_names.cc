#include "io/torch/pickle_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace bitloom {
namespace {

using enum TorchGlobalKind;

constexpr std::array kGlobals = {TorchGlobal{"collections", "OrderedDict", kOrderedDict},
                                 TorchGlobal{"torch._utils", "_rebuild_tensor_v2", kRebuild},
                                 TorchGlobal{"torch._utils", "_rebuild_tensor_v3", kRebuildTyped},
                                 TorchGlobal{"torch._utils", "_rebuild_parameter", kRebuildParameter},
                                 TorchGlobal{"torch", "DoubleStorage", kStorage, DType::kF64},
                                 TorchGlobal{"torch", "FloatStorage", kStorage, DType::kF32},
                                 TorchGlobal{"torch", "HalfStorage", kStorage, DType::kF16},
                                 TorchGlobal{"torch", "BFloat16Storage", kStorage, DType::kBF16},
                                 TorchGlobal{"torch", "LongStorage", kStorage, DType::kI64},
                                 TorchGlobal{"torch", "IntStorage", kStorage, DType::kI32},
                                 TorchGlobal{"torch", "ShortStorage", kStorage, DType::kI16},
                                 TorchGlobal{"torch", "CharStorage", kStorage, DType::kI8},
                                 TorchGlobal{"torch", "ByteStorage", kStorage, DType::kU8},
                                 TorchGlobal{"torch", "BoolStorage", kStorage, DType::kBool},
                                 TorchGlobal{"torch", "ComplexFloatStorage", kStorage, DType::kC64},
                                 TorchGlobal{"torch.storage", "UntypedStorage", kStorage},
                                 TorchGlobal{"torch", "uint16", kDType, DType::kU16},
                                 TorchGlobal{"torch", "uint32", kDType, DType::kU32},
                                 TorchGlobal{"torch", "uint64", kDType, DType::kU64},
                                 TorchGlobal{"torch", "float8_e4m3fn", kDType, DType::kF8E4M3},
                                 TorchGlobal{"torch", "float8_e5m2", kDType, DType::kF8E5M2},
                                 TorchGlobal{"torch", "float8_e4m3fnuz", kDType, DType::kF8E4M3Fnuz},
                                 TorchGlobal{"torch", "float8_e5m2fnuz", kDType, DType::kF8E5M2Fnuz},
                                 TorchGlobal{"torch", "float8_e8m0fnu", kDType, DType::kF8E8M0}};

struct OpcodeName {
  uint8_t code;
  std::string_view name;
};

// The rest of pickle's, for messages.
constexpr std::array kRefused = {OpcodeName{'i', "INST"},
                                 OpcodeName{'o', "OBJ"},
                                 OpcodeName{0x81, "NEWOBJ"},
                                 OpcodeName{0x92, "NEWOBJ_EX"},
                                 OpcodeName{0x82, "EXT1"},
                                 OpcodeName{0x83, "EXT2"},
                                 OpcodeName{0x84, "EXT4"},
                                 OpcodeName{'P', "PERSID"},
                                 OpcodeName{'0', "POP"},
                                 OpcodeName{'1', "POP_MARK"},
                                 OpcodeName{'2', "DUP"},
                                 OpcodeName{'I', "INT"},
                                 OpcodeName{'L', "LONG"},
                                 OpcodeName{0x8b, "LONG4"},
                                 OpcodeName{'F', "FLOAT"},
                                 OpcodeName{'G', "BINFLOAT"},
                                 OpcodeName{'S', "STRING"},
                                 OpcodeName{'T', "BINSTRING"},
                                 OpcodeName{'U', "SHORT_BINSTRING"},
                                 OpcodeName{'V', "UNICODE"},
                                 OpcodeName{'B', "BINBYTES"},
                                 OpcodeName{'C', "SHORT_BINBYTES"},
                                 OpcodeName{0x8e, "BINBYTES8"},
                                 OpcodeName{0x96, "BYTEARRAY8"},
                                 OpcodeName{0x97, "NEXT_BUFFER"},
                                 OpcodeName{0x98, "READONLY_BUFFER"},
                                 OpcodeName{'d', "DICT"},
                                 OpcodeName{']', "EMPTY_LIST"},
                                 OpcodeName{'l', "LIST"},
                                 OpcodeName{'a', "APPEND"},
                                 OpcodeName{'e', "APPENDS"},
                                 OpcodeName{0x8f, "EMPTY_SET"},
                                 OpcodeName{0x90, "ADDITEMS"},
                                 OpcodeName{0x91, "FROZENSET"},
                                 OpcodeName{'g', "GET"},
                                 OpcodeName{'p', "PUT"}};

}  // namespace

std::string opcode_name(uint8_t code) {
  const auto row = std::find_if(kRefused.begin(), kRefused.end(), [&](const auto& r) { return r.code == code; });
  return row == kRefused.end() ? fmt::format("{:#04x}", code) : fmt::format("{} ({:#04x})", row->name, code);
}

std::optional<size_t> find_torch_global(std::string_view module, std::string_view name) {
  for (size_t row = 0; row < kGlobals.size(); ++row) {
    if (kGlobals[row].module == module && kGlobals[row].name == name) return row;
  }
  return std::nullopt;
}

const TorchGlobal& torch_global(size_t row) { return kGlobals[row]; }

}  // namespace bitloom

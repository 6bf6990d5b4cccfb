#pragma once
// Zip archives whose entries are stored as they are, as torch.save writes them.
//
// Goals: entries are views of the mapped file; every size and offset is checked against it; zip64.
// Non-goals: compression, encryption, several volumes (all refused by name), checksums (tensors are viewed, not read).

#include <cstddef>
#include <map>
#include <span>
#include <string_view>

#include "io/mapped_file.h"

namespace bitloom {

/// Name -> bytes; both lie in `file`. Error(kRefused) names the file and the entry.
std::map<std::string_view, std::span<const std::byte>> stored_zip_entries(const MappedFile& file);

}  // namespace bitloom

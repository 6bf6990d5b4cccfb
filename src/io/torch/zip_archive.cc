#include "io/torch/zip_archive.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "io/byte_reader.h"

namespace bitloom {
namespace {

// APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.
constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20;
constexpr uint16_t kZip64Extra = 1, kEncrypted = 1;

/// Where the central directory lies.
struct Directory {
  uint64_t entries = 0, bytes = 0, offset = 0;
};

struct Entry {
  std::string_view name;
  uint16_t flags = 0, method = 0;
  uint64_t packed = 0, size = 0, header = 0;  // bytes, bytes, offset of the local header
};

ByteReader reader_at(const MappedFile& file, uint64_t offset) {
  ByteReader reader(file.bytes(), file.path());
  reader.take(offset, "a zip archive");
  return reader;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Offset of the end record, which a comment of less than 64 KiB may follow.
uint64_t find_end(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < kEndBytes) refuse("{}: {} bytes are too few for a zip archive", file.path(), bytes.size());
  const uint64_t last = bytes.size() - kEndBytes;
  for (uint64_t back = 0; back <= std::min<uint64_t>(last, UINT16_MAX); ++back) {
    uint32_t signature = 0;
    uint16_t comment = 0;
    std::memcpy(&signature, bytes.data() + (last - back), sizeof signature);
    std::memcpy(&comment, bytes.data() + (last - back) + kEndBytes - sizeof comment, sizeof comment);
    if (signature == kEnd && comment == back) return last - back;
  }
  refuse("{}: a zip archive without its end record (truncated file?)", file.path());
}

void check_signature(const MappedFile& file, ByteReader& reader, uint32_t expected, std::string_view what) {
  const uint64_t at = reader.position();
  const auto found = reader.read<uint32_t>(what);
  if (found != expected) refuse("{}: no {} at byte {} (found {:#010x})", file.path(), what, at, found);
}

Directory read_end64(const MappedFile& file, uint64_t end) {
  if (end < kLocatorBytes) refuse("{}: a zip64 archive without its locator", file.path());
  ByteReader locator = reader_at(file, end - kLocatorBytes);
  check_signature(file, locator, kLocator64, "zip64 locator");
  locator.read<uint32_t>("the volume");
  ByteReader reader = reader_at(file, locator.read<uint64_t>("the zip64 end record's offset"));
  check_signature(file, reader, kEnd64, "zip64 end record");
  reader.take(8 + 2 + 2 + 4 + 4 + 8, "the zip64 end record");
  Directory directory;
  directory.entries = reader.read<uint64_t>("the number of entries");
  directory.bytes = reader.read<uint64_t>("the central directory's size");
  directory.offset = reader.read<uint64_t>("the central directory's offset");
  return directory;
}

Directory read_end(const MappedFile& file) {
  const uint64_t end = find_end(file);
  ByteReader reader = reader_at(file, end + 4);
  const auto volume = reader.read<uint16_t>("the volume");
  const auto first_volume = reader.read<uint16_t>("the volume");
  reader.read<uint16_t>("the volume's entries");
  Directory directory;
  directory.entries = reader.read<uint16_t>("the number of entries");
  directory.bytes = reader.read<uint32_t>("the central directory's size");
  directory.offset = reader.read<uint32_t>("the central directory's offset");
  if (directory.entries == UINT16_MAX || directory.bytes == UINT32_MAX || directory.offset == UINT32_MAX) {
    return read_end64(file, end);
  }
  if (volume != 0 || first_volume != 0) refuse("{}: a zip archive of several volumes is not supported", file.path());
  return directory;
}

/// The fields that did not fit into 32 bits, in the extra field of id 1.
void read_zip64_extra(const MappedFile& file, std::span<const std::byte> extra, Entry& entry) {
  ByteReader reader(extra, file.path());
  while (reader.left() > 0) {
    const auto id = reader.read<uint16_t>("an extra field");
    const std::span<const std::byte> field = reader.take(reader.read<uint16_t>("an extra field"), "an extra field");
    if (id != kZip64Extra) continue;
    ByteReader numbers(field, file.path());
    for (uint64_t* number : {&entry.size, &entry.packed, &entry.header}) {
      if (*number == UINT32_MAX) *number = numbers.read<uint64_t>("a zip64 size");
    }
    return;
  }
  refuse("{}: entry '{}' lacks its zip64 sizes", file.path(), entry.name);
}

Entry read_entry(const MappedFile& file, ByteReader& reader) {
  check_signature(file, reader, kCentralHeader, "zip entry");
  Entry entry;
  reader.read<uint32_t>("the versions");
  entry.flags = reader.read<uint16_t>("the flags");
  entry.method = reader.read<uint16_t>("the method");
  reader.take(4 + 4, "the date and the checksum");
  entry.packed = reader.read<uint32_t>("the packed size");
  entry.size = reader.read<uint32_t>("the size");
  const auto name = reader.read<uint16_t>("the name's length");
  const auto extra = reader.read<uint16_t>("the extra field's length");
  const auto comment = reader.read<uint16_t>("the comment's length");
  reader.take(2 + 2 + 4, "the attributes");
  entry.header = reader.read<uint32_t>("the offset");
  entry.name = text_of(reader.take(name, "the name"));
  const std::span<const std::byte> extras = reader.take(extra, "the extra field");
  reader.take(comment, "the comment");
  if (entry.size == UINT32_MAX || entry.packed == UINT32_MAX || entry.header == UINT32_MAX) {
    read_zip64_extra(file, extras, entry);
  }
  return entry;
}

void check_stored(const MappedFile& file, const Entry& entry) {
  if ((entry.flags & kEncrypted) != 0) refuse("{}: entry '{}' is encrypted", file.path(), entry.name);
  if (entry.method != 0) {
    refuse("{}: entry '{}' is compressed (method {}); entries of a checkpoint are stored, as torch.save writes them",
           file.path(), entry.name, entry.method);
  }
  if (entry.packed != entry.size) {
    refuse("{}: entry '{}' is stored, but takes {} bytes for {}", file.path(), entry.name, entry.packed, entry.size);
  }
}

std::span<const std::byte> bytes_of_entry(const MappedFile& file, const Entry& entry) {
  check_stored(file, entry);
  ByteReader reader = reader_at(file, entry.header);
  check_signature(file, reader, kLocalHeader, "header of a zip entry");
  reader.take(2 + 2 + 2 + 4 + 4 + 4 + 4, "an entry's header");
  const auto name = reader.read<uint16_t>("the name's length");
  const auto extra = reader.read<uint16_t>("the extra field's length");
  const std::string_view found = text_of(reader.take(name, "the name"));
  if (found != entry.name) {
    refuse("{}: entry '{}' is '{}' in its own header", file.path(), entry.name, found);
  }
  reader.take(extra, "the extra field");
  return reader.take(entry.size, fmt::format("entry '{}'", entry.name));
}

}  // namespace

std::map<std::string_view, std::span<const std::byte>> stored_zip_entries(const MappedFile& file) {
  const Directory directory = read_end(file);
  const std::span<const std::byte> listed =
      reader_at(file, directory.offset).take(directory.bytes, "the central directory of a zip archive");
  // Positions in messages count from the start of the file.
  ByteReader reader(file.bytes().first(directory.offset + listed.size()), file.path());
  reader.take(directory.offset, "a zip archive");
  std::map<std::string_view, std::span<const std::byte>> entries;
  uint64_t count = 0;
  for (; reader.left() > 0; ++count) {
    const Entry entry = read_entry(file, reader);
    if (!entries.emplace(entry.name, bytes_of_entry(file, entry)).second) {
      refuse("{}: entry '{}' is listed twice", file.path(), entry.name);
    }
  }
  if (count != directory.entries) {
    refuse("{}: {} entries are listed, the end record says {}", file.path(), count, directory.entries);
  }
  return entries;
}

}  // namespace bitloom

#include "io/torch/torch_file.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "io/torch/state_dict.h"
#include "io/torch/zip_archive.h"

namespace bitloom {
namespace {

using Entries = std::map<std::string_view, std::span<const std::byte>>;

constexpr std::string_view kPickle = "/data.pkl";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Refuses what is no zip archive, saying what it is.
void check_is_zip(const MappedFile& file) {
  // torch before 1.6 begins with the pickled number 0x1950a86a20f9469cfc6c; before 0.1.10 it wrote tar archives.
  constexpr std::string_view kMagic("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.", 15);
  constexpr size_t kTarMagic = 257;
  const std::string_view text = text_of(file.bytes());
  if (text.starts_with("PK\x03\x04")) return;
  if (text.starts_with(kMagic) || (text.size() > kTarMagic && text.substr(kTarMagic).starts_with("ustar"))) {
    refuse(
        "{}: was written by torch before 1.6; convert it in Python: torch.save(torch.load(\"{}\", "
        "map_location=\"cpu\"), \"{}\")",
        file.path(), file.path(), file.path());
  }
  if (text.starts_with("version https://git-lfs")) {
    refuse("{}: is a pointer of Git LFS, not the file itself; \"git lfs pull\" fetches it", file.path());
  }
  refuse("{}: no zip archive, which torch.save writes", file.path());
}

/// What stands before "/data.pkl" in every name of the archive.
std::string_view archive_name(const MappedFile& file, const Entries& entries) {
  std::string_view found;
  for (const auto& [name, bytes] : entries) {
    if (!name.ends_with(kPickle) || std::count(name.begin(), name.end(), '/') != 1) continue;
    if (!found.empty()) refuse("{}: holds both '{}' and '{}{}'", file.path(), name, found, kPickle);
    found = name.substr(0, name.size() - kPickle.size());
  }
  if (found.empty()) refuse("{}: a zip archive without NAME/data.pkl is no file of torch.save", file.path());
  return found;
}

/// Opens the storages of one file and makes tensors of them.
class TorchFile {
 public:
  explicit TorchFile(const std::string& path) : file_(MappedFile::open(path)) {
    check_is_zip(*file_);
    entries_ = stored_zip_entries(*file_);
    name_ = archive_name(*file_, entries_);
    copies_left_ = file_->bytes().size();
    if (const auto order = entries_.find(std::string(name_) + "/byteorder"); order != entries_.end()) {
      if (text_of(order->second) != "little") {
        refuse("{}: byteorder is '{}', expected 'little'", path, text_of(order->second));
      }
    }
  }

  std::vector<TensorView> tensors() {
    const std::string pickle = std::string(name_) + std::string(kPickle);
    StateDict dict = read_state_dict(entries_.at(pickle), file_->path() + ": " + pickle);
    std::vector<std::span<const std::byte>> storages;
    for (const PickledStorage& storage : dict.storages) storages.push_back(open_storage(storage));
    std::vector<TensorView> views;
    for (auto& [name, tensor] : dict.tensors) views.push_back(open_tensor(name, tensor, storages[tensor.storage]));
    return views;
  }

 private:
  std::span<const std::byte> open_storage(const PickledStorage& storage) const;
  TensorView open_tensor(std::string_view name, PickledTensor& tensor, std::span<const std::byte> storage);
  void copy_strided(const PickledTensor& tensor, std::span<const std::byte> storage, TensorView& view);

  std::shared_ptr<const MappedFile> file_;
  Entries entries_;
  std::string_view name_;
  size_t copies_left_ = 0;  // bytes
};

std::span<const std::byte> TorchFile::open_storage(const PickledStorage& storage) const {
  constexpr size_t kLongestKey = 64;  // keys are numbers
  if (storage.key.size() > kLongestKey) {
    refuse("{}: the key of a storage has {} characters, expected a number", file_->path(), storage.key.size());
  }
  const std::string entry = fmt::format("{}/data/{}", name_, storage.key);
  const auto found = entries_.find(entry);
  if (found == entries_.end()) refuse("{}: storage '{}' is missing (truncated file?)", file_->path(), entry);
  const int64_t width = storage.dtype ? info(*storage.dtype).bits / 8 : 1;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(storage.elements, width, &bytes) || static_cast<uint64_t>(bytes) != found->second.size()) {
    refuse("{}: storage '{}' has {} bytes, data.pkl says {} elements of {}", file_->path(), entry, found->second.size(),
           storage.elements, storage.dtype ? info(*storage.dtype).name : "one byte");
  }
  return found->second;
}

/// Index of the last element read, or -1 where there is none; nullopt when it overflows.
std::optional<int64_t> last_element(const PickledTensor& tensor) {
  int64_t last = tensor.offset;
  for (size_t d = 0; d < tensor.shape.size(); ++d) {
    if (tensor.shape[d] == 0) return -1;
    int64_t step = 0;
    if (__builtin_mul_overflow(tensor.shape[d] - 1, tensor.strides[d], &step)) return std::nullopt;
    if (__builtin_add_overflow(last, step, &last)) return std::nullopt;
  }
  return last;
}

/// Whether the elements follow each other row by row; strides of dimensions of one element mean nothing.
bool is_contiguous(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (size_t d = tensor.shape.size(); d-- > 0;) {
    if (tensor.shape[d] != 1 && tensor.strides[d] != expected) return false;
    expected *= tensor.shape[d];
  }
  return true;
}

TensorView TorchFile::open_tensor(std::string_view name, PickledTensor& tensor, std::span<const std::byte> storage) {
  const auto width = static_cast<size_t>(info(tensor.dtype).bits / 8);
  const std::optional<int64_t> elements = checked_elements(tensor.shape), last = last_element(tensor);
  const size_t in_storage = storage.size() / width;
  if (!elements || !last || (*elements > 0 && static_cast<uint64_t>(*last) >= in_storage)) {
    refuse("{}: tensor '{}': shape {} with strides {} from element {} lies beyond the {} elements of its storage",
           file_->path(), name, shape_text(tensor.shape), shape_text(tensor.strides), tensor.offset, in_storage);
  }
  TensorView view;
  view.name = std::string(name);
  view.dtype = tensor.dtype;
  view.shape = tensor.shape;
  view.file = file_->path();
  view.owner = file_;
  view.mapping = file_;
  if (*elements == 0) return view;
  if (!is_contiguous(tensor)) {
    copy_strided(tensor, storage, view);
  } else {
    view.bytes = storage.subspan(static_cast<size_t>(tensor.offset) * width, static_cast<size_t>(*elements) * width);
  }
  return view;
}

void TorchFile::copy_strided(const PickledTensor& tensor, std::span<const std::byte> storage, TensorView& view) {
  const auto width = static_cast<size_t>(info(tensor.dtype).bits / 8);
  const auto elements = static_cast<uint64_t>(view.elements());
  if (elements > copies_left_ / width) {
    refuse(
        "{}: tensor '{}': shape {} with strides {} is not contiguous, and copies of such tensors would take more than "
        "the file; store .contiguous() ones",
        file_->path(), view.name, shape_text(tensor.shape), shape_text(tensor.strides));
  }
  copies_left_ -= elements * width;
  auto copy = std::make_shared<std::vector<std::byte>>(elements * width);
  std::vector<int64_t> index(tensor.shape.size(), 0);
  for (uint64_t i = 0; i < elements; ++i) {
    int64_t from = tensor.offset;
    for (size_t d = 0; d < index.size(); ++d) from += index[d] * tensor.strides[d];
    std::memcpy(copy->data() + i * width, storage.data() + static_cast<size_t>(from) * width, width);
    for (size_t d = index.size(); d-- > 0 && ++index[d] == tensor.shape[d];) index[d] = 0;
  }
  view.bytes = *copy;
  view.owner = std::move(copy);
  view.mapping = nullptr;
}

}  // namespace

std::vector<TensorView> open_torch_file(const std::string& path) { return TorchFile(path).tensors(); }

}  // namespace bitloom

#include "io/torch/state_dict.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/text/text.h"
#include "io/byte_reader.h"
#include "io/torch/pickle_names.h"

namespace bitloom {
namespace {

// More than any pickler leaves on its stack, which writes a dict by runs of 1000 items; and than weights have.
constexpr size_t kMostOnStack = 100'000, kMostDimensions = 8;

enum class Kind : uint8_t { kMark, kNone, kBool, kInt, kText, kTuple, kDict, kGlobal, kStorage, kTensor };

constexpr std::array<std::string_view, 10> kKindNames = {
    "a mark", "None", "a bool", "an int", "a text", "a tuple", "a dict", "a torch function", "a storage", "a tensor"};

/// What the pickle's machine works on. `number` is the value, or an index: of the text's first byte, the tuple's first
/// item, the dict, the row of globals, the storage, the tensor. `count`: bytes of a text, items of a tuple.
struct Value {
  Kind kind = Kind::kNone;
  uint32_t count = 0;
  int64_t number = 0;
};

struct DictItem {
  int64_t dict;
  Value key, value;
};

/// A tensor before its dimensions are unfolded.
struct Rebuilt {
  int64_t storage, offset;
  DType dtype;
  Value shape, strides;  // tuples
};

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, const std::string& origin) : pickle_(pickle), reader_(pickle, origin) {}

  StateDict run();

 private:
  void step(PickleOp op);
  void read_constant(PickleOp op);
  void push(Kind kind, int64_t number = 0, size_t count = 0) { push({kind, static_cast<uint32_t>(count), number}); }
  void push(const Value& value);
  Value pop(const char* what);
  Value pop(Kind kind, const char* what);
  const Value& top();
  size_t above_mark();
  void push_text(uint64_t bytes);
  void push_tuple(size_t first, size_t behind);
  void push_global(std::string_view module, std::string_view name);
  std::string_view line(const char* what);
  void memorize(uint64_t index);
  void recall(uint64_t index);
  void set_items(size_t first);
  void load_storage();
  void reduce();
  void rebuild_tensor(const TorchGlobal& function, const Value& arguments);
  void rebuild_parameter(const Value& arguments);
  Value argument(const Value& arguments, size_t index, Kind kind, const char* what);
  void expect_count(const Value& arguments, size_t expected, const char* what);
  std::vector<int64_t> dimensions(const Value& tuple, std::string_view tensor, const char* what) const;
  StateDict finish(const Value& root);

  std::string_view text(const Value& value) const {
    return {reinterpret_cast<const char*>(pickle_.data()) + value.number, value.count};
  }
  /// Errors begin with the file and the place.
  template <typename... Args>
  [[noreturn]] void reject(fmt::format_string<Args...> format, Args&&... args) const {
    refuse("{}: byte {}: {}", reader_.file(), at_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::span<const std::byte> pickle_;
  ByteReader reader_;
  uint64_t at_ = 0;  // of the opcode
  std::vector<Value> stack_, memo_, items_;
  std::vector<DictItem> dict_items_;
  std::vector<PickledStorage> storages_;
  std::vector<Rebuilt> tensors_;
  int64_t dicts_ = 0;
};

void Machine::push(const Value& value) {
  if (stack_.size() == kMostOnStack) reject("more than {} values wait to be used", kMostOnStack);
  stack_.push_back(value);
}

const Value& Machine::top() {
  if (stack_.empty()) reject("nothing is there to be used");
  return stack_.back();
}

Value Machine::pop(const char* what) {
  const Value value = top();
  if (value.kind == Kind::kMark) reject("{} is missing", what);
  stack_.pop_back();
  return value;
}

Value Machine::pop(Kind kind, const char* what) {
  const Value value = pop(what);
  if (value.kind != kind) {
    reject("{} is {}, expected {}", what, kKindNames[static_cast<size_t>(value.kind)],
           kKindNames[static_cast<size_t>(kind)]);
  }
  return value;
}

/// Index of the first value above the last mark.
size_t Machine::above_mark() {
  for (size_t i = stack_.size(); i > 0; --i) {
    if (stack_[i - 1].kind == Kind::kMark) return i;
  }
  reject("no mark is set");
}

void Machine::push_text(uint64_t bytes) {
  const auto first = static_cast<int64_t>(reader_.position());
  reader_.take(bytes, "a text");
  push(Kind::kText, first, bytes);
}

/// Values [first, end) of the stack become a tuple; the stack is cut at `first` - `behind`.
void Machine::push_tuple(size_t first, size_t behind) {
  const auto begin = static_cast<int64_t>(items_.size());
  items_.insert(items_.end(), stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
  const size_t count = stack_.size() - first;
  stack_.resize(first - behind);
  push(Kind::kTuple, begin, count);
}

std::string_view Machine::line(const char* what) {
  const std::span<const std::byte> rest = pickle_.subspan(reader_.position());
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  if (end == rest.end()) reject("{} does not end", what);
  const std::span<const std::byte> taken = reader_.take(static_cast<uint64_t>(end - rest.begin()) + 1, what);
  return {reinterpret_cast<const char*>(taken.data()), taken.size() - 1};
}

void Machine::push_global(std::string_view module, std::string_view name) {
  const std::optional<size_t> row = find_torch_global(module, name);
  if (!row) {
    reject(
        "asks for '{}.{}'; a state dict of plain tensors needs OrderedDict, _rebuild_tensor_v2, _rebuild_parameter and "
        "storages, and nothing else is loaded or run",
        module, name);
  }
  push(Kind::kGlobal, static_cast<int64_t>(*row));
}

/// Picklers number what they remember one by one.
void Machine::memorize(uint64_t index) {
  const Value value = top();
  if (index > memo_.size()) reject("remembers a value as number {}, expected at most {}", index, memo_.size());
  if (index == memo_.size()) memo_.emplace_back();
  memo_[index] = value;
}

void Machine::recall(uint64_t index) {
  if (index >= memo_.size()) reject("recalls value {} of {}", index, memo_.size());
  push(memo_[index]);
}

void Machine::set_items(size_t first) {
  if ((stack_.size() - first) % 2 != 0) reject("a key of a dict has no value");
  const size_t dict = first - 1;
  if (first == 0 || stack_[dict].kind != Kind::kDict) reject("items are set in what is no dict");
  for (size_t i = first; i < stack_.size(); i += 2) {
    if (stack_[i].kind != Kind::kText) {
      reject("a key of a dict is {}, expected a text", kKindNames[static_cast<size_t>(stack_[i].kind)]);
    }
    dict_items_.push_back({stack_[dict].number, stack_[i], stack_[i + 1]});
  }
  stack_.resize(first);
}

Value Machine::argument(const Value& arguments, size_t index, Kind kind, const char* what) {
  const Value value = items_[static_cast<size_t>(arguments.number) + index];
  if (value.kind != kind) {
    reject("{} is {}, expected {}", what, kKindNames[static_cast<size_t>(value.kind)],
           kKindNames[static_cast<size_t>(kind)]);
  }
  return value;
}

void Machine::expect_count(const Value& arguments, size_t expected, const char* what) {
  if (arguments.count != expected) reject("{} takes {} arguments, {} are given", what, expected, arguments.count);
}

/// ("storage", type, key, location, elements), as torch.save's persistent_id() gives it.
void Machine::load_storage() {
  const Value id = pop(Kind::kTuple, "a storage's description");
  expect_count(id, 5, "a storage");
  if (const std::string_view tag = text(argument(id, 0, Kind::kText, "a storage's tag")); tag != "storage") {
    reject("a storage's tag is '{}', expected 'storage'", tag);
  }
  const TorchGlobal& type =
      torch_global(static_cast<size_t>(argument(id, 1, Kind::kGlobal, "a storage's type").number));
  if (type.kind != TorchGlobalKind::kStorage) reject("a storage's type is '{}.{}'", type.module, type.name);
  const std::string_view key = text(argument(id, 2, Kind::kText, "a storage's key"));
  const int64_t elements = argument(id, 4, Kind::kInt, "a storage's number of elements").number;
  if (elements < 0) reject("a storage has {} elements", elements);
  push(Kind::kStorage, static_cast<int64_t>(storages_.size()));
  storages_.push_back({key, type.dtype, elements});
}

/// storage, offset, shape, strides, requires_grad, hooks; version 3 has a dtype behind them. What may follow says that
/// the values are the storage's negated or conjugated.
void Machine::rebuild_tensor(const TorchGlobal& function, const Value& arguments) {
  const bool typed = function.kind == TorchGlobalKind::kRebuildTyped;
  expect_count(arguments, typed ? 7 : 6, "a tensor");
  Rebuilt tensor{};
  tensor.storage = argument(arguments, 0, Kind::kStorage, "a tensor's storage").number;
  tensor.offset = argument(arguments, 1, Kind::kInt, "a tensor's offset").number;
  tensor.shape = argument(arguments, 2, Kind::kTuple, "a tensor's shape");
  tensor.strides = argument(arguments, 3, Kind::kTuple, "a tensor's strides");
  std::optional<DType> dtype = storages_[static_cast<size_t>(tensor.storage)].dtype;
  if (typed) {
    const Value named = argument(arguments, 6, Kind::kGlobal, "a tensor's dtype");
    const TorchGlobal& row = torch_global(static_cast<size_t>(named.number));
    if (row.kind != TorchGlobalKind::kDType) reject("a tensor's dtype is '{}.{}'", row.module, row.name);
    dtype = row.dtype;
  }
  if (!dtype) reject("a tensor of an untyped storage has no dtype");
  tensor.dtype = *dtype;
  push(Kind::kTensor, static_cast<int64_t>(tensors_.size()));
  tensors_.push_back(tensor);
}

void Machine::rebuild_parameter(const Value& arguments) {
  expect_count(arguments, 3, "a parameter");
  push(argument(arguments, 0, Kind::kTensor, "a parameter"));
}

void Machine::reduce() {
  const Value arguments = pop(Kind::kTuple, "the arguments of a function");
  const TorchGlobal& function = torch_global(static_cast<size_t>(pop(Kind::kGlobal, "a function").number));
  switch (function.kind) {
    case TorchGlobalKind::kOrderedDict:
      expect_count(arguments, 0, "an OrderedDict");
      return push(Kind::kDict, dicts_++);
    case TorchGlobalKind::kRebuild:
    case TorchGlobalKind::kRebuildTyped:
      return rebuild_tensor(function, arguments);
    case TorchGlobalKind::kRebuildParameter:
      return rebuild_parameter(arguments);
    case TorchGlobalKind::kStorage:
    case TorchGlobalKind::kDType:
      reject("calls '{}.{}', which is no function", function.module, function.name);
  }
}

/// Opcodes that push a value that stands behind them.
void Machine::read_constant(PickleOp op) {
  switch (op) {
    case PickleOp::kNone:
      return push(Kind::kNone);
    case PickleOp::kTrue:
    case PickleOp::kFalse:
      return push(Kind::kBool, op == PickleOp::kTrue);
    case PickleOp::kInt4:
      return push(Kind::kInt, reader_.read<int32_t>("an int"));
    case PickleOp::kInt1:
      return push(Kind::kInt, reader_.read<uint8_t>("an int"));
    case PickleOp::kInt2:
      return push(Kind::kInt, reader_.read<uint16_t>("an int"));
    case PickleOp::kLong1: {
      const auto size = reader_.read<uint8_t>("an int");
      int64_t value = 0;
      if (size > sizeof value) reject("an int of {} bytes, expected at most {}", size, sizeof value);
      const std::span<const std::byte> bytes = reader_.take(size, "an int");
      if (size > 0 && static_cast<int8_t>(bytes.back()) < 0) value = -1;
      std::memcpy(&value, bytes.data(), size);
      return push(Kind::kInt, value);
    }
    case PickleOp::kShortText:
      return push_text(reader_.read<uint8_t>("a text"));
    case PickleOp::kText:
      return push_text(reader_.read<uint32_t>("a text"));
    case PickleOp::kText8:
      return push_text(reader_.read<uint64_t>("a text"));
    default:
      reject("opcode {}, which torch.save does not write for a state dict; nothing of the file is run",
             opcode_name(static_cast<uint8_t>(op)));
  }
}

void Machine::step(PickleOp op) {
  switch (op) {
    case PickleOp::kProtocol:
      if (const auto version = reader_.read<uint8_t>("the protocol"); version < 2 || version > 5) {
        reject("pickle protocol {}, expected 2 to 5", version);
      }
      return;
    case PickleOp::kFrame:
      reader_.read<uint64_t>("a frame's length");
      return;
    case PickleOp::kGlobal: {
      const std::string_view module = line("a module's name");
      return push_global(module, line("a function's name"));
    }
    case PickleOp::kStackGlobal: {
      const Value name = pop(Kind::kText, "a function's name"), module = pop(Kind::kText, "a module's name");
      return push_global(text(module), text(name));
    }
    case PickleOp::kMark:
      return push(Kind::kMark);
    case PickleOp::kEmptyTuple:
      return push(Kind::kTuple);
    case PickleOp::kTuple:
      return push_tuple(above_mark(), 1);
    case PickleOp::kTuple1:
    case PickleOp::kTuple2:
    case PickleOp::kTuple3: {
      const size_t count = 1 + static_cast<size_t>(op) - static_cast<size_t>(PickleOp::kTuple1);
      if (stack_.size() < count) reject("a tuple of {} lacks items", count);
      return push_tuple(stack_.size() - count, 0);
    }
    case PickleOp::kEmptyDict:
      return push(Kind::kDict, dicts_++);
    case PickleOp::kSetItem:
      if (stack_.size() < 3) reject("a dict's item lacks its key or its value");
      return set_items(stack_.size() - 2);
    case PickleOp::kSetItems: {
      const size_t first = above_mark();
      // The mark lies between the dict and its items.
      stack_.erase(stack_.begin() + static_cast<std::ptrdiff_t>(first) - 1);
      return set_items(first - 1);
    }
    case PickleOp::kBuild:
      // Attributes of a state dict: its _metadata, versions of modules.
      pop(Kind::kDict, "what is set of an object");
      if (top().kind != Kind::kDict) reject("attributes are set of {}", kKindNames[static_cast<size_t>(top().kind)]);
      return;
    case PickleOp::kPut1:
      return memorize(reader_.read<uint8_t>("a number"));
    case PickleOp::kPut4:
      return memorize(reader_.read<uint32_t>("a number"));
    case PickleOp::kMemoize:
      return memorize(memo_.size());
    case PickleOp::kGet1:
      return recall(reader_.read<uint8_t>("a number"));
    case PickleOp::kGet4:
      return recall(reader_.read<uint32_t>("a number"));
    case PickleOp::kPersistentId:
      return load_storage();
    case PickleOp::kReduce:
      return reduce();
    default:
      return read_constant(op);
  }
}

std::vector<int64_t> Machine::dimensions(const Value& tuple, std::string_view tensor, const char* what) const {
  if (tuple.count > kMostDimensions) {
    refuse("{}: tensor '{}' has {} {}, expected at most {}", reader_.file(), tensor, tuple.count, what,
           kMostDimensions);
  }
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < tuple.count; ++i) {
    const Value& item = items_[static_cast<size_t>(tuple.number) + i];
    if (item.kind != Kind::kInt || item.number < 0) {
      refuse("{}: tensor '{}': {} hold {}, expected whole numbers from 0", reader_.file(), tensor, what,
             item.kind == Kind::kInt ? std::to_string(item.number) : kKindNames[static_cast<size_t>(item.kind)]);
    }
    numbers.push_back(item.number);
  }
  return numbers;
}

StateDict Machine::finish(const Value& root) {
  StateDict result;
  std::set<std::string_view> names;
  for (const DictItem& item : dict_items_) {
    if (item.dict != root.number) continue;
    const std::string_view name = text(item.key);
    if (item.value.kind != Kind::kTensor) {
      refuse("{}: '{}' is {}, expected a tensor: only a state dict is read, not a whole training state", reader_.file(),
             name, kKindNames[static_cast<size_t>(item.value.kind)]);
    }
    if (first_invalid_utf8(name) != name.size()) refuse("{}: a tensor's name is no valid UTF-8", reader_.file());
    if (!names.insert(name).second) refuse("{}: tensor '{}' is there twice", reader_.file(), name);
    const Rebuilt& rebuilt = tensors_[static_cast<size_t>(item.value.number)];
    PickledTensor tensor{static_cast<size_t>(rebuilt.storage), rebuilt.dtype, rebuilt.offset,
                         dimensions(rebuilt.shape, name, "dimensions"), dimensions(rebuilt.strides, name, "strides")};
    if (tensor.shape.size() != tensor.strides.size()) {
      refuse("{}: tensor '{}' has {} dimensions and {} strides", reader_.file(), name, tensor.shape.size(),
             tensor.strides.size());
    }
    if (tensor.offset < 0) refuse("{}: tensor '{}' begins at element {}", reader_.file(), name, tensor.offset);
    result.tensors.emplace_back(name, std::move(tensor));
  }
  result.storages = std::move(storages_);
  return result;
}

StateDict Machine::run() {
  while (true) {
    at_ = reader_.position();
    const auto op = static_cast<PickleOp>(reader_.read<uint8_t>("an opcode"));
    if (op == PickleOp::kStop) break;
    step(op);
  }
  const Value root = pop("a state dict");
  if (root.kind != Kind::kDict) {
    reject("the file holds {}, expected a dict of tensors", kKindNames[static_cast<size_t>(root.kind)]);
  }
  return finish(root);
}

}  // namespace

StateDict read_state_dict(std::span<const std::byte> pickle, const std::string& origin) {
  constexpr size_t kMostBytes = 100'000'000;  // a million tensors take as much
  if (pickle.size() > kMostBytes) {
    refuse("{}: {} bytes describe the tensors, expected at most {}", origin, pickle.size(), kMostBytes);
  }
  return Machine(pickle, origin).run();
}

}  // namespace bitloom

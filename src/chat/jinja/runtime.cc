#include "chat/jinja/runtime.h"

#include "chat/jinja/text.h"

namespace bitloom::jinja {
namespace {

size_t bytes_of(const Value& value) {
  if (const std::string* text = value.as<std::string>()) return text->size();
  if (const SequencePtr* sequence = value.as<SequencePtr>()) return sizeof(Value) * (*sequence)->items.size();
  if (const DictPtr* dict = value.as<DictPtr>()) return 2 * sizeof(Value) * (*dict)->items.size();
  return 0;
}

}  // namespace

void Runtime::spend(size_t units) {
  work_ += units;
  if (work_ > kMaxWork) refuse("takes more than {} steps", kMaxWork);
}

void Runtime::made(const Value& value) { wrote(bytes_of(value)); }

void Runtime::wrote(size_t bytes) {
  spend(bytes / 1024);
  made_ += bytes;
  if (made_ > kMaxMade) refuse("makes more than {} bytes of text", kMaxMade);
}

Namespace* Runtime::make_namespace() {
  spend(1000);
  return &namespaces_.emplace_back();
}

SequencePtr items_of(const Value& value) {
  std::vector<Value> items;
  if (const SequencePtr* sequence = value.as<SequencePtr>()) {
    if ((*sequence)->used) refuse("reads an iterator a second time, when it is empty; make it a list first");
    if ((*sequence)->kind == SequenceKind::kIterator) (*sequence)->used = true;
    return *sequence;
  }
  if (const std::string* text = value.as<std::string>()) {
    check_text_size(sizeof(Value) * text->size());
    for (const std::string_view character : split_characters(*text)) items.emplace_back(std::string(character));
  } else if (const DictPtr* dict = value.as<DictPtr>()) {
    for (const auto& [key, item] : (*dict)->items) items.emplace_back(key);
  } else if (!value.is<Undefined>()) {
    refuse("goes through a value of type {}, which has no items", type_name(value));
  }
  return std::make_shared<const Sequence>(Sequence{SequenceKind::kList, std::move(items)});
}

void check_storable(const Value& value) {
  const auto* space = value.as<Namespace*>();
  if (space != nullptr && (*space)->is_loop) refuse("keeps 'loop' itself, which is not supported");
  if (const CallablePtr* callable = value.as<CallablePtr>()) check_storable((*callable)->receiver);
}

}  // namespace bitloom::jinja

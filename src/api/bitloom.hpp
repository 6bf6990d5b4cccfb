#pragma once
// bitloom as a library, in C++20: a thin coat over bitloom.h, whose comments hold. Only the C functions cross the
// library's border, so any compiler and standard library will do.

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bitloom.h"

namespace bitloom {

class Error : public std::runtime_error {
 public:
  Error(bitloom_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  bitloom_status status() const { return status_; }

 private:
  bitloom_status status_;
};

struct LoadOptions : bitloom_load_options {
  LoadOptions() { bitloom_load_defaults(this, sizeof(bitloom_load_options)); }
};

struct GenerateOptions : bitloom_generate_options {
  GenerateOptions() { bitloom_generate_defaults(this, sizeof(bitloom_generate_options)); }
};

struct Message {
  std::string role, content;
};

struct Generated : bitloom_generated {
  Generated() : bitloom_generated{} { size = sizeof(bitloom_generated); }
  std::string text;
};

class Model {
 public:
  explicit Model(const std::string& path, const LoadOptions& options = {}) {
    bitloom_model* model = nullptr;
    check(bitloom_load(whole(path, "path"), &options, &model));
    model_.reset(model);
  }

  int64_t context() const { return bitloom_context(model_.get()); }
  int64_t vocabulary() const { return bitloom_vocabulary(model_.get()); }

  std::vector<int32_t> tokenize(const std::string& text, bitloom_text_kind kind = BITLOOM_PROMPT) const {
    std::vector<int32_t> ids(text.size() + 4);
    size_t count = 0;
    const char* all = whole(text, "text");
    const auto encode = [&] { check(bitloom_tokenize(get(), all, kind, ids.data(), ids.size(), &count)); };
    encode();
    const bool fits = count <= ids.size();
    ids.resize(count);
    if (!fits) encode();
    return ids;
  }

  std::string detokenize(std::span<const int32_t> ids) const {
    return text_of([&](char* text, size_t capacity, size_t* length) {
      return bitloom_detokenize(get(), ids.data(), ids.size(), text, capacity, length);
    });
  }

  std::string render_chat(const std::vector<Message>& messages) const {
    std::vector<bitloom_message> views;
    for (const Message& message : messages)
      views.push_back({whole(message.role, "a message's role"), whole(message.content, "a message's content")});
    return text_of([&](char* text, size_t capacity, size_t* length) {
      return bitloom_render_chat(get(), views.data(), views.size(), text, capacity, length);
    });
  }

  /// `on_text` gets text as it comes, on this thread, may be empty, and ends it by false. What it throws is thrown
  /// here.
  Generated generate(std::span<const int32_t> ids, const GenerateOptions& options = {},
                     const std::function<bool(std::string_view)>& on_text = {}) {
    Reply reply{{}, on_text, nullptr};
    check(bitloom_generate(get(), ids.data(), ids.size(), &options, take, &reply, &reply.generated));
    if (reply.thrown) std::rethrow_exception(reply.thrown);
    return std::move(reply.generated);
  }

 private:
  struct Free {
    void operator()(bitloom_model* model) const { bitloom_free(model); }
  };
  struct Reply {
    Generated generated;
    const std::function<bool(std::string_view)>& on_text;
    std::exception_ptr thrown;
  };

  static int take(const char* text, size_t length, void* user) {
    Reply& reply = *static_cast<Reply*>(user);
    try {
      reply.generated.text.append(text, length);
      return reply.on_text && !reply.on_text({text, length}) ? 1 : 0;
    } catch (...) {
      reply.thrown = std::current_exception();
      return 1;
    }
  }

  static void check(bitloom_status status) {
    if (status != BITLOOM_OK) throw Error(status, bitloom_error());
  }

  /// For C, where a zero byte ends a text: one that holds another would be cut.
  static const char* whole(const std::string& text, const char* name) {
    const size_t zero = text.find('\0');
    if (zero == std::string::npos) return text.c_str();
    throw Error(BITLOOM_USAGE, std::string(name) + " holds a zero byte, at " + std::to_string(zero));
  }

  template <typename Fill>
  static std::string text_of(const Fill& fill) {
    size_t length = 0;
    check(fill(nullptr, 0, &length));
    std::string text(length, '\0');
    check(fill(text.data(), length + 1, &length));
    return text;
  }

  bitloom_model* get() const { return model_.get(); }

  std::unique_ptr<bitloom_model, Free> model_;
};

}  // namespace bitloom

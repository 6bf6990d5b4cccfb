#include "tokenize/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

constexpr uint32_t kMatchLimit = 50'000'000;
constexpr uint32_t kHeapLimitKib = 512 * 1024;
constexpr size_t kJitStackStart = 32 * 1024;
constexpr size_t kJitStackMax = 8 * 1024 * 1024;

struct Freer {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
};

std::string error_text(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

// The compiled pattern, or nullptr with `code` and `offset` set.
pcre2_code* compile(const std::string& pattern, int& code, size_t& offset) {
  const std::unique_ptr<pcre2_compile_context, Freer> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // Ruby's ^ and $ always mean lines.
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  return pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &code, &offset,
                       context.get());
}

}  // namespace

struct RegexScratch::State {
  std::unique_ptr<pcre2_match_data, Freer> data{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freer> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freer> stack{pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)};

  State() {
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

RegexScratch::RegexScratch() = default;
RegexScratch::~RegexScratch() = default;

RegexScratch::State& RegexScratch::state() {
  if (!state_) state_ = std::make_unique<State>();
  return *state_;
}

Regex::Regex(const std::string& pattern, const JsonNode& where) {
  int code = 0;
  size_t offset = 0;
  pcre2_code* compiled = compile(translate_oniguruma(pattern, where), code, offset);
  if (compiled == nullptr) where.reject(fmt::format("is the regex '{}': {}", pattern, error_text(code)));
  code_.reset(compiled, [](pcre2_code* p) { pcre2_code_free(p); });
  jit_ = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
}

Regex::Regex(const std::string& pcre2_pattern) {
  int code = 0;
  size_t offset = 0;
  pcre2_code* compiled = compile(pcre2_pattern, code, offset);
  if (compiled == nullptr) fail(ErrorKind::kFailed, "regex '{}' at {}: {}", pcre2_pattern, offset, error_text(code));
  code_.reset(compiled, [](pcre2_code* p) { pcre2_code_free(p); });
  jit_ = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
}

bool is_script(const std::string& name) {
  int code = 0;
  size_t offset = 0;
  pcre2_code* compiled = compile("\\p{sc:" + name + "}", code, offset);
  pcre2_code_free(compiled);
  return compiled != nullptr;
}

bool Regex::search(std::string_view text, size_t from, RegexScratch::State& state, size_t& begin, size_t& end) const {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int result = PCRE2_ERROR_JIT_STACKLIMIT;
  if (jit_) {
    result = pcre2_jit_match(code_.get(), subject, text.size(), from, 0, state.data.get(), state.context.get());
  }
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
    result = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, state.data.get(),
                         state.context.get());
  }
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) fail(ErrorKind::kFailed, "tokenizer regex at byte {} of the text: {}", from, error_text(result));
  const size_t* offsets = pcre2_get_ovector_pointer(state.data.get());
  begin = offsets[0];
  end = offsets[1];
  return true;
}

bool Regex::contains(std::string_view text, RegexScratch& scratch) const {
  size_t begin = 0;
  size_t end = 0;
  return search(text, 0, scratch.state(), begin, end);
}

void Regex::split(std::string_view text, RegexScratch& scratch,
                  FunctionRef<void(size_t begin, size_t end, bool match)> part) const {
  RegexScratch::State& state = scratch.state();
  size_t from = 0;
  size_t previous = 0;
  bool any = false;
  size_t begin = 0;
  size_t end = 0;
  while (from <= text.size() && search(text, from, state, begin, end)) {
    if (begin == end && any && previous == end) {
      if (from == text.size()) break;
      next_code_point(text, from);
      continue;
    }
    // \K and look-behind could move a match back over the one before it.
    if (begin < previous || end < begin) fail(ErrorKind::kFailed, "tokenizer regex matches backwards at byte {}", from);
    if (begin > previous) part(previous, begin, false);
    part(begin, end, true);
    from = end;
    previous = end;
    any = true;
  }
  if (previous != text.size()) part(previous, text.size(), false);
}

}  // namespace bitloom

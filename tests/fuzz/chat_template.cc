// A chat template, rendered.
#include "chat/chat_template.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kRefused, "fuzz", [&] {
    ChatTemplate(std::string(fuzz::text_of(data, size)), "fuzz", {{"bos_token", "<s>"}, {"eos_token", "</s>"}})
        .render({{"system", " S "}, {"user", "h\u00e9llo\n"}, {"assistant", ""}, {"user", "x"}});
  });
}

#include "eval/windows.h"

namespace bitloom {

TextWindows cut_windows(const std::string& text, const Tokenizer& tokenizer, const WindowOptions& options) {
  return cut_windows({.ids = tokenizer.encode(text, with_special(options)),
                      .bos = tokenizer.bos_id(),
                      .eos = tokenizer.eos_id(),
                      .adds_bos = tokenizer.adds_bos(),
                      .bytes = static_cast<int64_t>(text.size())},
                     options);
}

}  // namespace bitloom

#pragma once
// The page at /: a chat with the model, self-contained.

#include <string>

namespace bitloom {

const std::string& chat_page();

}  // namespace bitloom

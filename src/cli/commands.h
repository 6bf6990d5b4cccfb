#pragma once
// Commands that the program names in messages and help, as the user would type them.

#include <string>

namespace bitloom {

/// `text` with "bitloom" in front of a verb, "help" or a flag replaced by the path that this program was started by
/// ("build/release/bitloom"); as it is where it was found on PATH.
std::string as_started(std::string text);
/// The same for a program started as `program`.
std::string as_started(std::string text, const std::string& program);

}  // namespace bitloom

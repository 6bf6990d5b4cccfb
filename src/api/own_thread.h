#pragma once
// Work that a caller's thread is not fit for.
//
// Goals: the host's thread is left as it was. oneDNN's sgemm runs with the stack pointer inside a heap buffer, where
// the frame of a signal handler of the host would overwrite what lies below, and it needs a setting of OpenMP that a
// thread keeps for good. So it runs on a thread that ends with the call and blocks all signals.
// Non-goals: work that goes on after the call.

#include <functional>
#include <string>

namespace bitloom {

using TextHook = std::function<void(const std::string&)>;

/// Runs work(ask) on a thread of its own. ask(text) runs answer(text) on the calling thread and waits for its end; what
/// `answer` throws is thrown by ask, and what `work` throws is thrown here. std::system_error when no thread starts.
void run_on_own_thread(const std::function<void(const TextHook& ask)>& work, const TextHook& answer);

}  // namespace bitloom

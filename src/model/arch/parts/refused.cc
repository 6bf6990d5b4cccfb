// Architectures that are known and cannot be run, with what they need.

#include <array>
#include <string_view>

#include "base/error.h"
#include "model/arch/parts.h"

namespace bitloom::arch {
namespace {

struct Refused {
  std::string_view model_type, lacks;
};

constexpr std::string_view kRecurrent = "its layers with a recurrent state (state space or linear attention)";
constexpr std::string_view kStreams = "its parallel residual streams and embeddings of each layer";

constexpr std::array kRefused = {
    Refused{"bamba", kRecurrent},
    Refused{"falcon_h1", kRecurrent},
    Refused{"falcon_mamba", kRecurrent},
    Refused{"granitemoehybrid", kRecurrent},
    Refused{"jamba", kRecurrent},
    Refused{"kimi_linear", kRecurrent},
    Refused{"lfm2", kRecurrent},
    Refused{"lfm2_moe", kRecurrent},
    Refused{"mamba", kRecurrent},
    Refused{"mamba2", kRecurrent},
    Refused{"minimax", kRecurrent},
    Refused{"nemotron_h", kRecurrent},
    Refused{"olmo_hybrid", kRecurrent},
    Refused{"qwen3_5", kRecurrent},
    Refused{"qwen3_5_moe", kRecurrent},
    Refused{"qwen3_next", kRecurrent},
    Refused{"recurrent_gemma", kRecurrent},
    Refused{"rwkv", kRecurrent},
    Refused{"xlstm", kRecurrent},
    Refused{"zamba", kRecurrent},
    Refused{"zamba2", kRecurrent},
    Refused{"gemma3n", kStreams},
    Refused{"gemma3n_text", kStreams},
    Refused{"internlm2", "its code, which transformers does not have"},
};

}  // namespace

void refuse_known(const std::string& model_type, const std::string& origin) {
  for (const Refused& row : kRefused) {
    if (row.model_type == model_type)
      refuse("{}: architecture '{}' is not supported: {}", origin, model_type, row.lacks);
  }
}

}  // namespace bitloom::arch

#include "pipeline/task/walk_order.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

const std::vector<std::string>& order_names() {
  static const std::vector<std::string> names = {"sequential", "block", "none"};
  return names;
}

}  // namespace

std::string to_string(WalkOrder order) { return order_names()[static_cast<size_t>(order)]; }

WalkOrder parse_walk_order(const std::string& text) {
  for (size_t i = 0; i < order_names().size(); ++i) {
    if (text == order_names()[i]) return static_cast<WalkOrder>(i);
  }
  misuse("order '{}'{}; allowed: {}", text, did_you_mean(text, order_names()), fmt::join(order_names(), ", "));
}

}  // namespace bitloom

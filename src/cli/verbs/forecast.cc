#include "cli/verbs/forecast.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "base/text/text.h"
#include "io/directory/output_directory.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

int64_t memory_of_machine() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
}

/// Neighbours that are expected to take the same are one row.
std::string block_table(const WalkCost& walk, bool bold) {
  Table table({{"blocks"}, {"memory"}, {"time each"}});
  std::string memory, time;
  size_t first = 0;
  const auto close = [&](size_t end) {
    if (end > first)
      table.add({end - first == 1 ? fmt::format("{}", first) : fmt::format("{}-{}", first, end - 1), memory, time});
    first = end;
  };
  for (size_t b = 0; b < walk.blocks.size(); ++b) {
    const std::string memory_here = human_bytes(walk.held_memory + walk.blocks[b].peak_memory);
    const std::string time_here = format_duration(walk.blocks[b].seconds());
    if (memory_here != memory || time_here != time) close(b);
    memory = memory_here, time = time_here;
  }
  close(walk.blocks.size());
  return table.to_text(bold);
}

}  // namespace

Forecast make_forecast(QuantizeCost cost, int64_t memory, const std::string& out) {
  Forecast forecast;
  forecast.cost = std::move(cost);
  forecast.memory_allowed = memory > 0 ? memory : memory_of_machine();
  forecast.disk_free = free_disk_bytes(out);
  return forecast;
}

std::string forecast_text(const Forecast& forecast, bool bold) {
  const QuantizeCost& cost = forecast.cost;
  const std::string blocks = cost.walk.blocks.empty() ? "" : block_table(cost.walk, bold) + "\n";
  std::string remarks;
  for (const std::string& remark : cost.remarks) remarks += remark + "\n";
  return blocks +
         facts_text(
             {{"output", fmt::format("{}, {} bits per weight of the model", human_bytes(cost.output_bytes),
                                     format_bits(cost.bits_model))},
              {"memory", fmt::format("{} of {}{}", human_bytes(cost.memory), human_bytes(forecast.memory_allowed),
                                     cost.walk.spills ? ", with activations in a file" : "")},
              {"disk", fmt::format("{} of {} free", human_bytes(cost.disk), human_bytes(forecast.disk_free))},
              {"time", "about " + format_duration(cost.seconds)},
              {"fits", forecast.fits() ? "yes" : "no"}}) +
         remarks;
}

Json to_json(const Forecast& forecast) {
  const QuantizeCost& cost = forecast.cost;
  Json blocks = Json::array();
  for (const BlockCost& block : cost.walk.blocks) {
    blocks.push_back({{"memory", cost.walk.held_memory + block.peak_memory}, {"seconds", block.seconds()}});
  }
  return {{"output_bytes", cost.output_bytes},
          {"bits_model", cost.bits_model},
          {"remarks", cost.remarks},
          {"memory", cost.memory},
          {"memory_allowed", forecast.memory_allowed},
          {"disk", cost.disk},
          {"disk_free", forecast.disk_free},
          {"seconds", cost.seconds},
          {"spills", cost.walk.spills},
          {"fits", forecast.fits()},
          {"blocks", std::move(blocks)}};
}

}  // namespace bitloom

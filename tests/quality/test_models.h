#pragma once
// The real models that quality is judged on, with texts to evaluate and to calibrate on.

#include <ostream>
#include <string>
#include <vector>

#include "base/test_data.h"

namespace bitloom::testing {

struct QualityModel {
  std::string name, path, text;
  int64_t context, windows;
  std::string calibration;
};

inline std::vector<QualityModel> quality_models() {
  return {{"demo", "assets/demo", "assets/demo/evaluation.txt", 256, 4, "assets/demo/calibration.txt"},
          {"english_3m", shared_path("models/english-3m"), shared_path("models/english-3m/evaluation.txt"), 256, 4,
           shared_path("models/english-3m/calibration.txt")},
          {"stories260K", shared_path("models/stories260K"), "assets/demo/evaluation.txt", 256, 4,
           "assets/demo/calibration.txt"},
          {"babyllama_char", shared_path("models/babyllama-char"), "assets/demo/evaluation.txt", 256, 4,
           shared_path("data/tinyshakespeare.txt")},
          {"smollm2", smollm2_path(), "assets/demo/evaluation.txt", 256, 2, "assets/demo/calibration.txt"}};
}

inline void PrintTo(const QualityModel& model, std::ostream* out) { *out << model.name; }

}  // namespace bitloom::testing

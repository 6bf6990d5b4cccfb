#pragma once
// The rules of samples.h over documents.

#include <string>
#include <vector>

#include "calibration/documents.h"

namespace bitloom {

struct Selection {
  std::vector<std::vector<int32_t>> sequences;
  std::string note;  // where they come from, for the description: "windows of 57 of 129 documents"
};

Selection sample_gptq(Documents& documents, const CalibrationOptions& options);
Selection sample_packed(Documents& documents, const CalibrationOptions& options);
Selection sample_rows(Documents& documents, const CalibrationOptions& options);

}  // namespace bitloom

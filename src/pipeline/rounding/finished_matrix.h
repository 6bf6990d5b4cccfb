#pragma once

#include <map>
#include <memory>
#include <string>

#include "format/stored_matrix.h"
#include "pipeline/rounding/site_record.h"

namespace bitloom {

/// A matrix that this run has quantized, and what is recorded of it.
struct FinishedMatrix {
  std::shared_ptr<const StoredMatrix> matrix;
  SiteRecord site;
};

using FinishedMatrices = std::map<std::string, FinishedMatrix>;  // by tensor name

}  // namespace bitloom

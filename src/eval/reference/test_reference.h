#pragma once
// For tests only: a place for a reference file, and its bytes.

#include <string>
#include <utility>

#include "base/context.h"
#include "base/test_data.h"
#include "eval/windows.h"
#include "io/json.h"

namespace bitloom::testing {

struct ReferencePlace {
  explicit ReferencePlace(TextWindows text) : windows(std::move(text)) {}

  std::string bytes() const { return read_text(path); }
  void put(const std::string& bytes) const { write_file(path, bytes); }

  ThreadPool pool{2};
  Progress silent;
  Context context{pool, silent};
  TempDir dir;
  std::string path = dir.file("ref.bin");
  TextWindows windows;
};

}  // namespace bitloom::testing

#pragma once
// --html FILE of any verb: a page as a file.

#include <string>

#include "report/page/page.h"

namespace bitloom {

/// Before long work: Error(kFailed) naming path and reason when no file could be written there; `what` it is.
void check_page_file(const std::string& path, const std::string& what = "the page");

/// The page with the program's version at its foot. Error(kFailed).
void write_page(const std::string& path, Page page);

}  // namespace bitloom

// Writes the page of all parts to the file named as argument, for check_page.py.
#include "report/page/sample_page.h"

#include <fstream>

int main(int count, char** arguments) {
  if (count != 2) return 2;
  std::ofstream file(arguments[1]);
  file << bitloom::to_html(bitloom::testing::sample_page());
  return file ? 0 : 1;
}

#include "cli/program.h"

int main(int argc, char** argv) { return bitloom::run_program({argv + 1, argv + argc}); }

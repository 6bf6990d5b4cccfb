// Continues a text: generate MODEL TEXT
#include <bitloom/bitloom.hpp>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) return std::cerr << "usage: generate MODEL TEXT\n", 2;
  try {
    bitloom::Model model(argv[1]);
    bitloom::GenerateOptions options;
    options.max_tokens = 32;
    options.temperature = 0;
    const auto print = [](std::string_view text) { return bool(std::cout << text << std::flush); };
    std::cout << argv[2];
    const bitloom::Generated made = model.generate(model.tokenize(argv[2]), options, print);
    std::cout << '\n';
    std::cerr << made.tokens << " tokens in " << made.decode_seconds << " s\n";
  } catch (const bitloom::Error& error) {
    std::cerr << "error: " << error.what() << '\n';
    return error.status();
  }
}

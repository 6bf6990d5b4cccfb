// Runs a target of this folder on damaged copies of good files, without libFuzzer:
//   fuzz_NAME [-n INPUTS] [-first I] [-seed S] [-write FILE] [SEED_FILE_OR_FOLDER...]
//
// Input i is a function of seed, i and the seed files, so a fault is repeated by "-first I -n 1", and -write keeps its
// bytes. Exit code 1 at the first fault (fuzz.h); also when the target accepted or refused next to nothing, as then the
// damage was too great or too small to tell anything.

#include <malloc.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <vector>

#include "base/rng.h"
#include "base/text/text.h"
#include "fuzz.h"

extern const char* const kSeeds;  // separated by ';'; of the target, from its CMakeLists.txt

namespace {

// Memory in use by operator new, of all libraries: what malloc gives is not counted.
std::atomic<int64_t> in_use = 0, most_in_use = 0;

void* counted_new(std::size_t size, std::size_t alignment) {
  void* memory = alignment == 0 ? std::malloc(size)
                                : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  const int64_t now = in_use += static_cast<int64_t>(malloc_usable_size(memory));
  if (now > most_in_use) most_in_use = now;
  return memory;
}

void counted_delete(void* memory) noexcept {
  if (memory == nullptr) return;
  in_use -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return counted_new(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted_new(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { counted_delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { counted_delete(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { counted_delete(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { counted_delete(memory); }

namespace bitloom::fuzz {
namespace {

constexpr int64_t kMostPerByte = 100;  // bytes of memory: a parsed tree takes some tens a byte of the file
constexpr int kMostSeconds = 60;

struct Options {
  uint64_t count = 10'000, first = 0, seed = 1;
  std::string write;
  std::vector<std::string> seeds;
};

/// "fuzz_gguf: input 123 of seed 1: " for messages; of a fixed size, as a handler of signals reads it.
std::array<char, 256> place{};

[[noreturn]] void report(const std::string& what) {
  std::fprintf(stderr, "%s%s\n", place.data(), what.c_str());
  std::_Exit(1);
}

void report_signal(int signal) {
  const char* what = signal == SIGPROF ? "takes too long\n" : "crashes\n";
  [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, place.data(), std::strlen(place.data()));
  ignored = ::write(STDERR_FILENO, what, std::strlen(what));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void install_handlers() {
  static std::array<char, 65536> stack;  // for a signal that says that the stack is full
  const stack_t other = {stack.data(), 0, stack.size()};
  ::sigaltstack(&other, nullptr);
  struct sigaction action {};
  action.sa_handler = report_signal;
  action.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPROF}) ::sigaction(signal, &action, nullptr);
}

/// SIGPROF after so many seconds of this process' own time, however busy the machine is; 0: none.
void limit_time(int seconds) {
  const itimerval after{{0, 0}, {seconds, 0}};
  ::setitimer(ITIMER_PROF, &after, nullptr);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) misuse("{}: cannot be read", path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Files, and the files of folders, in the order of their names.
std::vector<std::string> read_seeds(const std::vector<std::string>& paths) {
  std::vector<std::string> files, seeds;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) seeds.push_back(read_file(file));
  if (seeds.empty()) misuse("no seed files are given");
  return seeds;
}

// Bytes that tend to matter: limits of integers, characters of JSON, YAML and templates, digits.
constexpr std::string_view kTelling("\x00\x01\x02\x7f\x80\xff{}[]\"',:0919-+.\\/ \n\t%|*&!<>#()_", 38);
constexpr std::array<uint64_t, 12> kNumbers = {0,        1,          2,          8,          255,        65535,
                                               1u << 31, UINT32_MAX, 1ull << 32, 1ull << 62, 1ull << 63, UINT64_MAX};

/// Damages bytes: a fourth of the changes near the start, where headers lie, a fourth near the end.
class Damage {
 public:
  Damage(const std::vector<std::string>& seeds, uint64_t seed, uint64_t input) : seeds_(seeds), rng_(seed, input) {}

  std::string make() {
    bytes_ = any_seed();
    for (size_t changes = 1 + below(1 + below(6)); changes > 0 && !bytes_.empty(); --changes) change();
    return std::move(bytes_);
  }

 private:
  size_t below(size_t limit) { return rng_.next_u32() % limit; }
  const std::string& any_seed() { return seeds_[below(seeds_.size())]; }
  size_t any_place() {
    constexpr size_t kEdge = 256;
    const size_t size = bytes_.size(), edge = std::min(size, kEdge);
    const size_t part = below(4);
    if (part == 0) return below(edge);
    return part == 1 ? size - edge + below(edge) : below(size);
  }
  std::string piece_of(const std::string& from, size_t at, size_t most) { return from.substr(at, 1 + below(most)); }

  void change() {
    const size_t at = any_place();
    switch (below(9)) {
      case 0:
        bytes_[at] = static_cast<char>(rng_.next_u32());
        return;
      case 1:
        bytes_[at] = kTelling[below(kTelling.size())];
        return;
      case 2:
        bytes_[at] = static_cast<char>(bytes_[at] ^ (1 << below(8)));
        return;
      case 3:
        bytes_[at] = static_cast<char>(bytes_[at] + static_cast<char>(below(9)) - 4);
        return;
      case 4:
        return overwrite_number(at);
      case 5:
        bytes_.resize(below(8) == 0 ? at : bytes_.size() - 1);
        return;
      case 6:
        bytes_.erase(at, 1 + below(16));
        return;
      case 7:
        bytes_.insert(at, piece_of(bytes_, any_place(), 40));
        return;
      default:
        return splice(at);
    }
  }

  void overwrite_number(size_t at) {
    const uint64_t number = below(4) == 0 ? bytes_.size() + below(17) - 8 : kNumbers[below(kNumbers.size())];
    const size_t width = size_t{1} << below(4);
    std::memcpy(bytes_.data() + at, &number, std::min(width, bytes_.size() - at));
  }

  /// A piece of another seed.
  void splice(size_t at) {
    const std::string& other = any_seed();
    if (other.empty()) return;
    bytes_.insert(at, piece_of(other, below(other.size()), 80));
  }

  const std::vector<std::string>& seeds_;
  Rng rng_;
  std::string bytes_;
};

int64_t run_one(const std::string& bytes) {
  // In a block of its own size, so that a sanitizer sees what reads beyond it.
  const std::vector<uint8_t> input(bytes.begin(), bytes.end());
  const int64_t before = in_use;
  most_in_use = before;
  limit_time(kMostSeconds);
  try {
    LLVMFuzzerTestOneInput(input.data(), input.size());
  } catch (const std::exception& error) {
    report(std::string("throws ") + error.what());
  } catch (...) {
    report("throws what is no exception");
  }
  limit_time(0);
  return most_in_use - before;
}

int run(const char* program, const Options& options) {
  const std::vector<std::string> seeds = read_seeds(options.seeds);
  int64_t most = 0;
  for (const std::string& good : seeds) run_one(good);  // what is made once is made before memory is counted
  accepted = 0;
  for (uint64_t i = options.first; i < options.first + options.count; ++i) {
    std::snprintf(place.data(), place.size(), "%s: input %llu of seed %llu: ", program,
                  static_cast<unsigned long long>(i), static_cast<unsigned long long>(options.seed));
    const std::string bytes = Damage(seeds, options.seed, i).make();
    if (!options.write.empty()) std::ofstream(options.write, std::ios::binary) << bytes;
    const int64_t used = run_one(bytes);
    const int64_t allowed = most_fixed + kMostPerByte * static_cast<int64_t>(bytes.size());
    if (used > allowed) report(fmt::format("takes {} bytes of memory for {}, allowed {}", used, bytes.size(), allowed));
    most = std::max(most, used);
  }
  const uint64_t refused = options.count - accepted;
  std::printf("%s: %llu inputs, %llu accepted, %llu refused, at most %s of memory\n", program,
              static_cast<unsigned long long>(options.count), static_cast<unsigned long long>(accepted),
              static_cast<unsigned long long>(refused), human_bytes(most).c_str());
  if (options.count >= 1000 && std::min<uint64_t>(accepted, refused) < options.count / 1000) {
    std::fprintf(stderr, "%s: nearly all inputs end alike: other seed files are needed\n", program);
    return 1;
  }
  return 0;
}

Options parse(int argc, char** argv) {
  Options options;
  const auto number = [](std::string_view flag, const char* text) {
    const std::optional<uint64_t> value = parse_number<uint64_t>(text);
    if (!value) misuse("{} {}: expected a whole number", flag, text);
    return *value;
  };
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.empty() || word[0] != '-') {
      options.seeds.push_back(argv[i]);
      continue;
    }
    if (i + 1 == argc) misuse("{} takes a value", word);
    const char* value = argv[++i];
    if (word == "-n")
      options.count = number(word, value);
    else if (word == "-first")
      options.first = number(word, value);
    else if (word == "-seed")
      options.seed = number(word, value);
    else if (word == "-write")
      options.write = value;
    else
      misuse("{}: expected -n, -first, -seed or -write", word);
  }
  if (options.seeds.empty()) options.seeds = split(kSeeds, ';');
  return options;
}

}  // namespace
}  // namespace bitloom::fuzz

int main(int argc, char** argv) {
  try {
    bitloom::fuzz::install_handlers();
    return bitloom::fuzz::run(std::filesystem::path(argv[0]).filename().c_str(), bitloom::fuzz::parse(argc, argv));
  } catch (const bitloom::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
}

// A build with MPI: as many processes as mpirun or srun started.
//
// Every operation begins with an exchange of one byte that says who has failed. So a failure needs no operation of its
// own: a rank that failed takes part in that exchange, wherever the others are, and they come out of it with an Error.
// An exception after the exchange would leave the others waiting; what follows it is noexcept and ends all processes.

#include <mpi.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "pipeline/ranks/ranks.h"

namespace bitloom {
namespace {

// Counts of MPI are ints: longer arrays go in pieces.
constexpr size_t kPieceBytes = size_t{1} << 28;

template <typename T>
MPI_Datatype type_of();
template <>
MPI_Datatype type_of<double>() {
  return MPI_DOUBLE;
}
template <>
MPI_Datatype type_of<float>() {
  return MPI_FLOAT;
}

cpu_set_t own_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  return set;
}

/// A launcher may have bound each rank to processors of its own, or left them the same ones.
int processors_of_this_rank() {
  MPI_Comm machine;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  int ranks = 1;
  MPI_Comm_size(machine, &ranks);
  const cpu_set_t own = own_processors();
  cpu_set_t all;
  MPI_Allreduce(&own, &all, static_cast<int>(sizeof own), MPI_BYTE, MPI_BOR, machine);
  MPI_Comm_free(&machine);
  return std::max(1, std::min(CPU_COUNT(&own), CPU_COUNT(&all) / ranks));
}

class MpiRanks final : public Ranks {
 public:
  MpiRanks() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    processors_ = processors_of_this_rank();
  }

  ~MpiRanks() override {
    wait_for_all();
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int processors() const override { return processors_; }

  void sum_in_rank_order(std::span<double> values) override { sum(values); }
  void sum_in_rank_order(std::span<float> values) override { sum(values); }

  std::vector<Bytes> gather(const Bytes& mine) override {
    enter();
    return exchange(mine);
  }

  void broadcast(Bytes& bytes) override {
    enter();
    send_to_all(bytes, 0);
  }

  void barrier() override { enter(); }

  [[noreturn]] void fail(const Error& error) override {
    if (agreed_) throw Error(error);
    exchange_status(1);
    throw_agreed(&error);
  }

 private:
  /// Every operation's beginning.
  void enter() {
    if (exchange_status(0)) throw_agreed(nullptr);
  }

  /// Whether some rank has failed. Waits without using up a processor: the others may have much to do yet.
  bool exchange_status(char mine) noexcept {
    std::vector<char> all(static_cast<size_t>(size_));
    MPI_Request request;
    MPI_Iallgather(&mine, 1, MPI_CHAR, all.data(), 1, MPI_CHAR, MPI_COMM_WORLD, &request);
    wait(request);
    return std::any_of(all.begin(), all.end(), [](char failed) { return failed != 0; });
  }

  static void wait_for_all() noexcept {
    MPI_Request request;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    wait(request);
  }

  static void wait(MPI_Request request) noexcept {
    constexpr long kLongest = 2'000'000;  // nanoseconds
    timespec pause{0, 1000};
    for (int done = 0;;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done != 0) return;
      nanosleep(&pause, nullptr);
      pause.tv_nsec = std::min(kLongest, pause.tv_nsec + pause.tv_nsec / 4 + 1);
    }
  }

  /// All ranks are here, some with an error.
  [[noreturn]] void throw_agreed(const Error* mine) {
    agreed_ = true;
    Bytes packed;
    if (mine != nullptr) {
      const std::string text = static_cast<char>('0' + mine->exit_code()) + std::string(mine->what());
      packed.resize(text.size());
      std::memcpy(packed.data(), text.data(), text.size());
    }
    const std::vector<Bytes> all = exchange(packed);
    const auto first = std::find_if(all.begin(), all.end(), [](const Bytes& of_rank) { return !of_rank.empty(); });
    std::string text(first->size(), ' ');
    std::memcpy(text.data(), first->data(), text.size());
    const auto kind = static_cast<ErrorKind>(text[0] - '0');
    text.erase(0, 1);
    const bool alike = std::all_of(all.begin(), all.end(), [&](const Bytes& of_rank) { return of_rank == *first; });
    if (!alike) text = fmt::format("rank {} of {}: {}", first - all.begin(), size_, text);
    throw Error(kind, text);
  }

  std::vector<Bytes> exchange(const Bytes& mine) noexcept {
    std::vector<Bytes> all(static_cast<size_t>(size_));
    all[static_cast<size_t>(rank_)] = mine;
    for (int root = 0; root < size_; ++root) send_to_all(all[static_cast<size_t>(root)], root);
    return all;
  }

  void send_to_all(Bytes& bytes, int root) noexcept {
    uint64_t size = bytes.size();
    MPI_Bcast(&size, 1, MPI_UINT64_T, root, MPI_COMM_WORLD);
    bytes.resize(size);
    for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
      const size_t piece = std::min(kPieceBytes, bytes.size() - at);
      MPI_Bcast(bytes.data() + at, static_cast<int>(piece), MPI_BYTE, root, MPI_COMM_WORLD);
    }
  }

  template <typename T>
  void sum(std::span<T> values) {
    enter();
    const size_t piece = kPieceBytes / sizeof(T);
    for (size_t at = 0; at < values.size(); at += piece)
      sum_piece(values.subspan(at, std::min(piece, values.size() - at)));
  }

  /// Each rank gets its slice of everybody's values, adds them up in the order of ranks, and gives the sums to all.
  template <typename T>
  void sum_piece(std::span<T> values) noexcept {
    const auto ranks = static_cast<size_t>(size_);
    std::vector<int> sizes(ranks), begins(ranks);
    for (size_t r = 0; r < ranks; ++r) {
      begins[r] = static_cast<int>(values.size() * r / ranks);
      sizes[r] = static_cast<int>(values.size() * (r + 1) / ranks) - begins[r];
    }
    const auto own = static_cast<size_t>(rank_);
    const auto width = static_cast<size_t>(sizes[own]);
    std::vector<T> slices(ranks * width);
    std::vector<int> own_sizes(ranks, sizes[own]), own_begins(ranks);
    for (size_t r = 0; r < ranks; ++r) own_begins[r] = static_cast<int>(r * width);
    MPI_Alltoallv(values.data(), sizes.data(), begins.data(), type_of<T>(), slices.data(), own_sizes.data(),
                  own_begins.data(), type_of<T>(), MPI_COMM_WORLD);
    T* sums = values.data() + begins[own];
    for (size_t i = 0; i < width; ++i) {
      T sum = slices[i];
      for (size_t r = 1; r < ranks; ++r) sum += slices[r * width + i];
      sums[i] = sum;
    }
    MPI_Allgatherv(MPI_IN_PLACE, 0, type_of<T>(), values.data(), sizes.data(), begins.data(), type_of<T>(),
                   MPI_COMM_WORLD);
  }

  int rank_ = 0, size_ = 1, processors_ = 0;
  bool agreed_ = false;  // on an error: the others are out of the work
};

}  // namespace

std::shared_ptr<Ranks> start_ranks() {
  const Launch launch = launch_of_environment();
  if (launch.size == 1) return std::make_shared<Ranks>();
  int given = 0, seen = 1;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given);
  MPI_Comm_size(MPI_COMM_WORLD, &seen);
  if (seen != launch.size) {
    MPI_Finalize();
    fail(ErrorKind::kFailed, "{} started {} processes, but MPI sees {}; use mpirun of this MPI, or srun --mpi=pmix",
         launch.launcher, launch.size, seen);
  }
  return std::make_shared<MpiRanks>();
}

}  // namespace bitloom

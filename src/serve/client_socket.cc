#include "serve/client_socket.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string>

namespace bitloom {
namespace {

using NameOf = int (*)(int, sockaddr*, socklen_t*);  // getpeername, getsockname

bool has_name(int socket, NameOf name_of, const std::string& address, int port) {
  sockaddr_storage name = {};
  socklen_t size = sizeof name;
  auto* const generic = reinterpret_cast<sockaddr*>(&name);
  if (name_of(socket, generic, &size) != 0) return false;
  char host[NI_MAXHOST] = {}, service[NI_MAXSERV] = {};
  constexpr int kNumbers = NI_NUMERICHOST | NI_NUMERICSERV;
  if (getnameinfo(generic, size, host, sizeof host, service, sizeof service, kNumbers) != 0) return false;
  return service == std::to_string(port) && (address.empty() || host == address);
}

}  // namespace

int client_socket(const httplib::Request& request) {
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = file.path().filename().string();
    int socket = -1;
    std::from_chars(name.data(), name.data() + name.size(), socket);
    if (has_name(socket, getpeername, request.remote_addr, request.remote_port) &&
        has_name(socket, getsockname, request.local_addr, request.local_port))
      return socket;
  }
  return -1;
}

bool is_connected(int socket) {
  if (socket < 0) return true;
  char byte = 0;
  const ssize_t count = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

}  // namespace bitloom

#pragma once
// The socket of a request: the library does not tell it, and nothing else knows that a client is gone before something
// is sent to it.

#include <httplib.h>

namespace bitloom {

/// The connection that a request came on, found among the files of this process by both its addresses; -1 where there
/// is none. Valid while the request is answered.
int client_socket(const httplib::Request& request);

/// False when the client has closed it, or its sending side. True of -1.
bool is_connected(int socket);

}  // namespace bitloom

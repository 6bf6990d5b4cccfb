#pragma once
// The body of a request as it comes from the connection, bounded whatever form it has.

#include <httplib.h>

#include <cstdint>
#include <string>

#include "serve/api/api_error.h"

namespace bitloom {

/// The JSON text of a request, at most `most` bytes: of a body in chunks too, whose length no header tells. ApiError:
/// 415 a content type other than application/json, or any content coding (a short one can stand for any length); 413 a
/// body that is longer; 408 one that ends before its Content-Length; 400 chunks that are none.
std::string read_body(const httplib::Request& request, const httplib::ContentReader& reader, int64_t most);

/// Answers with the error and closes the connection: what is left of a body must not be read as the next request. Up
/// to `most` bytes in chunks, or its Content-Length, are taken and dropped first: many clients look for an answer only
/// when they have sent all.
void refuse_body(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader,
                 const ApiError& error, int64_t most);

/// Writes the error as a response's content.
void send_error(httplib::Response& response, const ApiError& error);
/// Whether refuse_body() has answered.
bool is_refused(const httplib::Response& response);

}  // namespace bitloom

#pragma once
// An answer as its client gets it, whole or as a stream.

#include <httplib.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/api/answer.h"
#include "serve/api/api_response.h"

namespace bitloom {

/// Lives as long as the client's response; `open` counts those that do.
class Delivery {
 public:
  Delivery(std::shared_ptr<Answer> answer, ApiRequest request, const ServedModel& model, const std::string& number,
           std::atomic<int64_t>& open);
  ~Delivery() { --open_; }
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  /// Collects all and returns its JSON. ApiError(500) with the message of what failed; ApiError(499) when `connected`,
  /// asked at every event and ten times a second, says that the client is gone.
  std::string whole(const std::function<bool()>& connected);

  /// Sends events as they come; a choice that fails ends with an error event. False when the client is gone.
  bool stream(httplib::DataSink& sink);

 private:
  bool write_end(httplib::DataSink& sink, size_t choice);
  template <typename OnPart, typename OnEnd>
  bool take(const std::function<bool()>& connected, const OnPart& on_part, const OnEnd& on_end);
  bool gone();

  std::shared_ptr<Answer> answer_;
  ApiRequest request_;
  ApiResponse response_;
  std::vector<ApiChoice> choices_;
  std::vector<TextEnd> ends_;
  std::vector<size_t> characters_;
  size_t ended_ = 0;
  std::atomic<int64_t>& open_;
};

}  // namespace bitloom

#include "serve/delivery.h"

#include <gtest/gtest.h>

#include "serve/api/api_error.h"
#include "serve/test_server.h"

namespace bitloom {
namespace {

struct Deliveries : ::testing::Test {
  /// Text of one answer, then the failure of the other.
  std::shared_ptr<Answer> failing() const {
    return Answer::of(2, {{0, TextPiece{"Hello", {}}},
                          {0, TextEnd{EndReason::kLength, "", 1, 0, 1}},
                          {1, TextPiece{"on", {}}},
                          {1, TextEnd{EndReason::kFailed, "logit of token 3 is nan", 1, 0, 1}}});
  }
  Delivery delivery(std::shared_ptr<Answer> answer) {
    ApiRequest request;
    request.n = 2;
    return {std::move(answer), request, model, "1", open};
  }

  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("assets/demo");
  ServedModel model = testing::served(*checkpoint);
  std::atomic<int64_t> open = 0;
};

int status_of(Delivery& delivery, const std::function<bool()>& connected, std::string& message) {
  try {
    delivery.whole(connected);
  } catch (const ApiError& error) {
    message = error.what();
    return error.status;
  }
  return 200;
}

TEST_F(Deliveries, AFailureLateInAWholeAnswerIsAnError) {
  Delivery one = delivery(failing());
  std::string message;
  EXPECT_EQ(status_of(
                one, [] { return true; }, message),
            500);
  EXPECT_EQ(message, "logit of token 3 is nan");
  EXPECT_EQ(open, 1);
}

TEST_F(Deliveries, AFailureInAStreamIsAnEvent) {
  Delivery one = delivery(failing());
  std::string sent;
  httplib::DataSink sink;
  sink.write = [&](const char* data, size_t size) {
    sent.append(data, size);
    return true;
  };
  sink.is_writable = [] { return true; };
  sink.done = [] {};
  EXPECT_TRUE(one.stream(sink));
  bool done = false;
  const std::vector<Json> events = testing::events_of(sent, done);
  EXPECT_TRUE(done);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[1].at("choices").at(0).at("finish_reason"), "length");
  EXPECT_EQ(events[3].at("error").at("message"), "logit of token 3 is nan");
  EXPECT_EQ(events[3].at("error").at("type"), "server_error");
}

TEST_F(Deliveries, AClientThatIsGoneEndsTheWait) {
  Delivery one = delivery(Answer::of(2, {}));
  std::string message;
  EXPECT_EQ(status_of(
                one, [] { return false; }, message),
            499);
}

}  // namespace
}  // namespace bitloom

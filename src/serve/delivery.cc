#include "serve/delivery.h"

#include <ctime>

#include "base/text/text.h"
#include "serve/api/api_error.h"

namespace bitloom {
namespace {

using httplib::DataSink;

/// How often a client that waits is looked at.
constexpr std::chrono::milliseconds kLook{100};

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool write_event(DataSink& sink, const Json& event) {
  const std::string text = "data: " + dump(event) + "\n\n";
  return sink.write(text.data(), text.size());
}

}  // namespace

Delivery::Delivery(std::shared_ptr<Answer> answer, ApiRequest request, const ServedModel& model,
                   const std::string& number, std::atomic<int64_t>& open)
    : answer_(std::move(answer)),
      request_(std::move(request)),
      response_(request_, model, number, std::time(nullptr)),
      choices_(answer_->choices()),
      ends_(answer_->choices()),
      characters_(answer_->choices()),
      open_(open) {
  ++open_;
}

std::string Delivery::whole(const std::function<bool()>& connected) {
  while (ended_ < choices_.size()) {
    const auto on_part = [](size_t, const ApiChoice&) { return true; };
    const auto on_end = [this](size_t choice) {
      if (ends_[choice].reason != EndReason::kFailed) return true;
      answer_->cancel();
      throw ApiError(500, ends_[choice].message);
    };
    if (!take(connected, on_part, on_end)) throw ApiError(499, "the client is gone");
  }
  return dump(response_.whole(choices_, ends_));
}

bool Delivery::stream(DataSink& sink) {
  for (size_t i = 0; i < choices_.size() && request_.kind == ApiKind::kChat; ++i)
    if (!write_event(sink, response_.first_chunk(i))) return gone();
  while (ended_ < choices_.size()) {
    const bool goes_on = take(
        sink.is_writable, [&](size_t i, const ApiChoice& part) { return write_event(sink, response_.chunk(i, part)); },
        [&](size_t i) { return write_end(sink, i); });
    if (!goes_on) return false;
  }
  if (request_.include_usage && !write_event(sink, response_.usage_chunk(ends_))) return false;
  static const std::string done = "data: [DONE]\n\n";
  if (!sink.write(done.data(), done.size())) return false;
  sink.done();
  return true;
}

bool Delivery::write_end(DataSink& sink, size_t choice) {
  if (ends_[choice].reason != EndReason::kFailed) return write_event(sink, response_.last_chunk(choice, ends_[choice]));
  return write_event(sink, error_json(ApiError(500, ends_[choice].message)));
}

/// The next event, if there is one soon. False when the client is gone.
template <typename OnPart, typename OnEnd>
bool Delivery::take(const std::function<bool()>& connected, const OnPart& on_part, const OnEnd& on_end) {
  std::optional<Answer::Event> event = answer_->next(kLook);
  if (!connected()) return gone();
  if (!event) return true;
  ApiChoice& choice = choices_[event->choice];
  bool taken = true;
  if (auto* piece = std::get_if<TextPiece>(&event->what)) {
    ApiChoice part{piece->text, piece->tokens, static_cast<int64_t>(characters_[event->choice])};
    characters_[event->choice] += static_cast<size_t>(count_characters(piece->text));
    choice.text += piece->text;
    choice.tokens.insert(choice.tokens.end(), piece->tokens.begin(), piece->tokens.end());
    taken = on_part(event->choice, part);
  } else {
    ends_[event->choice] = std::get<TextEnd>(event->what);
    ++ended_;
    taken = on_end(event->choice);
  }
  return taken || gone();
}

bool Delivery::gone() {
  answer_->cancel();
  return false;
}

}  // namespace bitloom

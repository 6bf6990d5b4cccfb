#include "serve/api/answer.h"

namespace bitloom {

void Answer::Events::push(Event event) {
  {
    const std::lock_guard guard(lock);
    list.push_back(std::move(event));
  }
  changed.notify_one();
}

std::pair<Admission, std::shared_ptr<Answer>> Answer::ask(Engine& engine, std::vector<TextRequest> requests,
                                                          double seconds) {
  auto answer = std::make_shared<Answer>();
  answer->choices_ = requests.size();
  const auto time =
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<std::pair<TextRequest, TextSink>> asked;
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].deadline = std::chrono::steady_clock::now() + time;
    requests[i].cancelled = answer->cancelled_;
    asked.emplace_back(std::move(requests[i]), TextSink{[events = answer->events_, i](TextPiece piece) {
                                                          events->push({i, std::move(piece)});
                                                        },
                                                        [events = answer->events_, i](const TextEnd& end) {
                                                          events->push({i, end});
                                                        }});
  }
  const Admission admission = engine.submit(std::move(asked));
  return {admission, std::move(answer)};
}

std::shared_ptr<Answer> Answer::of(size_t choices, std::vector<Event> events) {
  auto answer = std::make_shared<Answer>();
  answer->choices_ = choices;
  for (Event& event : events) answer->events_->push(std::move(event));
  return answer;
}

std::optional<Answer::Event> Answer::next(std::chrono::milliseconds wait) {
  std::unique_lock guard(events_->lock);
  if (!events_->changed.wait_for(guard, wait, [this] { return !events_->list.empty(); })) return std::nullopt;
  Event event = std::move(events_->list.front());
  events_->list.pop_front();
  return event;
}

}  // namespace bitloom

// What the game's thread and the worker of a Client share: a ring each way, a few flags, the figures of the HUD.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "llmcore/net/client.hpp"
#include "llmcore/recording_format.hpp"
#include "spsc.hpp"

namespace llmcore::net {

/// What the game wants. Moved, never copied: whatever it holds is freed by the worker.
struct Command {
  enum class Kind : std::uint8_t { none, submit, cancel, frame, record, snapshot, save_cache, load_cache, stop };
  Kind kind = Kind::none;
  CallId call = 0;
  std::int64_t number = 0;  ///< the frame's, or bytes, or whether a snapshot's bytes are kept
  std::string bytes;
  std::optional<Client::Request> request;
  std::unique_ptr<RecordedEvent> event;  // an event is large, and rare; a snapshot's has the bytes, and no hash yet
};

/// Events on their way to the game.
class EventRing {
 public:
  explicit EventRing(std::size_t bytes) : ring_(bytes) {}

  /// The worker's. False while there is no room. Of a token its call, its tag and its text.
  [[nodiscard]] bool push(const Client::Event& event);
  /// The game's. False if there is none. The views in `event` are valid until release().
  [[nodiscard]] bool next(Client::Event& event);
  void release();

  ~EventRing();
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

 private:
  SpscBytes ring_;
  std::vector<std::unique_ptr<char[]>> held_;  // the game's: texts too long for the ring, until release()
};

/// The figures of Client::Stats that the worker counts.
enum class Figure : std::uint8_t {
  in_flight,
  cached,
  fallbacks,
  retries,
  input_tokens,
  output_tokens,
  cost,
  saved,
  unhealthy,
  unwritten,
  count_
};

/// Held by the client and by its worker: whoever is last lets it go.
struct Mail {
  Mail(std::size_t most_calls, std::size_t event_bytes) : commands(most_calls + 64), events(event_bytes) {}

  void set(Figure figure, std::int64_t value) noexcept {
    figures[static_cast<std::size_t>(figure)].store(value, std::memory_order_relaxed);
  }
  void add(Figure figure, std::int64_t value) noexcept {
    figures[static_cast<std::size_t>(figure)].fetch_add(value, std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t get(Figure figure) const noexcept {
    return figures[static_cast<std::size_t>(figure)].load(std::memory_order_relaxed);
  }

  SpscQueue<Command> commands;
  EventRing events;
  std::array<std::atomic<std::int64_t>, static_cast<std::size_t>(Figure::count_)> figures{};
  /// The worker is about to wait, or waits. Both sides exchange it, so that one of them sees what the other wrote before.
  std::atomic<bool> sleeping{false};

  std::mutex ending;
  std::condition_variable ended_changed;
  bool ended = false;  // under `ending`
};

}  // namespace llmcore::net

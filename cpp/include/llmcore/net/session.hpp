// A play session: a client, the game's luck and its world, recorded as they happen, and the same again without a network.
//
//   auto session = llmcore::Session::record(config, "monday", seed, problem);    // or live(), or replay("monday", problem)
//   for (std::int64_t tick = 0; running; ++tick) {
//     session->frame(tick);
//     if (session->below("wind", 10) == 0) session->submit(std::move(request));
//     session->poll(events);
//     ...
//     session->snapshot("world", world.bytes());
//   }
//
// The game is written once. While it records, everything that it asks for and everything that it is given goes into the
// recording, frame by frame; while it replays, it is given the same at the same ticks, and what it asks for is held
// against what it asked for then. The first difference is a divergence, with tick, event, field, expected and got; the
// game may go on after it: at the next frame the recording is taken up again.
//
// For one thread at a time, the game's. Recording costs it a copy of what is recorded and touches no file: that is the
// client's worker. A replay reads the recording before it begins.
//
// A recording holds the engine's inputs and what went over the network as well (io/replay.hpp): `llmcore replay` reads
// it, and io::replay() runs its engine again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "llmcore/io/replay.hpp"
#include "llmcore/net/client.hpp"

namespace llmcore {

class Session {
 public:
  /// Plays, and records nothing.
  [[nodiscard]] static std::unique_ptr<Session> live(Client::Config config, std::uint64_t seed, std::string& problem);
  /// Plays, and records into a directory of its own. Its random draws come from `seed`. Nullptr: `problem` says why.
  [[nodiscard]] static std::unique_ptr<Session> record(Client::Config config, const std::string& directory,
                                                       std::uint64_t seed, std::string& problem);
  /// Plays a recording again: no network, no clock, no luck. From `first_tick` on, where the game was loaded in the
  /// middle of it.
  [[nodiscard]] static std::unique_ptr<Session> replay(const std::string& directory, std::string& problem,
                                                       std::int64_t first_tick = INT64_MIN);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] bool replaying() const noexcept;
  /// Begins a frame. False: the recording that is replayed has no more.
  bool frame(std::int64_t tick);

  // As those of Client. While replaying, what comes of calls is what came of them then.
  CallId submit(Client::Request request);
  void cancel(CallId call);
  std::size_t poll(Client::Events& events, Client::PollBudget budget);
  std::size_t poll(Client::Events& events) { return poll(events, Client::PollBudget{}); }
  /// Without a worker thread; while replaying, nothing.
  void pump(Duration wait = 0);

  // Random draws by name, as those of io::ReplayRng.
  std::uint64_t next(std::string_view name) { return draw(name, 0); }
  std::uint64_t below(std::string_view name, std::uint64_t bound) { return draw(name, bound); }
  std::int64_t between(std::string_view name, std::int64_t low, std::int64_t high);

  /// The state of a part of the world in this frame. `keep`: its bytes go into the recording, so that a divergence can
  /// say which field of them differs where they are JSON.
  void snapshot(std::string_view name, std::string_view bytes, bool keep = false);

  /// What goes into a save file beside the world, so that the draws go on where they were: see load().
  [[nodiscard]] std::string save() const;
  /// Nullptr, or why the bytes are refused: then nothing has changed. Not while replaying, which needs no luck.
  const char* load(std::string_view bytes);

  /// The first thing that was not as in the recording.
  [[nodiscard]] const std::optional<io::Divergence>& divergence() const noexcept;
  /// What is wrong with the recording itself; empty while nothing is.
  [[nodiscard]] std::string problem() const;
  /// The client; nullptr while replaying.
  [[nodiscard]] Client* client() noexcept;
  /// Shuts the client down and ends the recording. True if all ended in time and the recording is whole.
  bool close(Duration deadline = 50 * kMillisecond);

 private:
  class Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::uint64_t draw(std::string_view name, std::uint64_t bound);
  std::unique_ptr<Impl> impl_;
};

}  // namespace llmcore

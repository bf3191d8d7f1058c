// One play of the village from its first tick on: live, recorded, or a recording played again without a network.
#pragma once

#include <cstdint>
#include <llmcore/net/session.hpp>
#include <memory>
#include <optional>
#include <string>

#include "controls.hpp"
#include "dialogue.hpp"
#include "network_switch.hpp"
#include "stopwatch.hpp"
#include "world.hpp"

namespace village {

class Play {
 public:
  enum class Mode : std::uint8_t { live, recording, replaying };

  /// Begins. A recording is a directory that is made, with the session and what the player did in it. Nullptr: `problem`
  /// says why. What is wrong with the configuration, but does not stop the game, goes to `warnings`.
  [[nodiscard]] static std::unique_ptr<Play> begin(Mode mode, const std::string& directory, std::string& problem,
                                                   std::vector<std::string>& warnings);

  /// One tick; while replaying the recorded actions take the place of `actions`. False: the recording is over.
  bool step(Actions actions);
  /// Ends it, and the recording. True if all is whole.
  bool close() { return session_->close(); }

  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] std::int64_t tick() const noexcept { return tick_; }
  [[nodiscard]] const World& world() const noexcept { return world_; }
  [[nodiscard]] const Dialogue& dialogue() const noexcept { return dialogue_; }
  [[nodiscard]] bool plugged() const noexcept { return plugged_; }
  /// Who is asked first: "llama"; "offline" where nothing is configured.
  [[nodiscard]] const std::string& provider() const noexcept { return provider_; }
  /// Attempts on the network at this moment; none while replaying.
  [[nodiscard]] std::int64_t in_flight() const noexcept;
  /// Whose breaker is open.
  [[nodiscard]] std::int64_t unhealthy() const noexcept;
  /// The first thing that went another way than in the recording.
  [[nodiscard]] const std::optional<llmcore::io::Divergence>& divergence() const noexcept {
    return session_->divergence();
  }
  /// Microseconds that llmcore's calls took of the last tick.
  [[nodiscard]] double spent() const noexcept { return watch_.microseconds(); }

 private:
  Play() = default;

  Mode mode_ = Mode::live;
  std::int64_t tick_ = -1;
  World world_;
  Stopwatch watch_;
  Dialogue dialogue_{world_, watch_};
  std::shared_ptr<NetworkSwitch> network_;
  std::unique_ptr<llmcore::Session> session_;
  std::unique_ptr<ActionsWriter> writer_;
  std::unique_ptr<ActionsReader> reader_;
  std::string provider_;
  Point direction_;
  bool plugged_ = true;
};

}  // namespace village

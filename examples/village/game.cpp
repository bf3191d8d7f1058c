#include "game.hpp"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "stopwatch.hpp"

namespace village {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTick = std::chrono::nanoseconds(1'000'000'000 / kTicksPerSecond);
constexpr std::size_t kShownFrames = 120;  // that the figures on the screen are of

std::vector<double> last(const std::vector<double>& all) {
  return {all.end() - static_cast<std::ptrdiff_t>(std::min(all.size(), kShownFrames)), all.end()};
}

/// A name that is not taken: recordings are never overwritten.
std::string new_recording() {
  for (int number = 1;; ++number) {
    std::string name = "village-recording-" + std::to_string(number);
    if (!std::filesystem::exists(name)) return name;
  }
}

}  // namespace

bool Game::begin(Play::Mode mode, const std::string& directory) {
  std::string problem;
  std::vector<std::string> warnings;
  auto play = Play::begin(mode, directory, problem, warnings);
  for (const std::string& each : warnings) std::fprintf(stderr, "llmcore: %s\n", each.c_str());
  if (!play) {
    std::fprintf(stderr, "village: %s\n", problem.c_str());
    return false;
  }
  if (mode != Play::Mode::live) recording_ = directory;
  play_ = std::move(play);
  return true;
}

bool Game::end() {
  const bool whole = play_->close();
  if (play_->mode() == Play::Mode::recording) {
    std::printf("%s: %s\n", recording_.c_str(), whole ? "recorded" : "is not whole");
  }
  if (play_->mode() != Play::Mode::replaying) return whole;
  if (play_->divergence()) {
    std::printf("%s\n", play_->divergence()->message().c_str());
  } else {
    std::printf("%s: the same in all %lld ticks\n", recording_.c_str(), static_cast<long long>(play_->tick()));
  }
  return whole && !play_->divergence();
}

bool Game::switch_mode(const Keyboard::Wishes& wishes) {
  // Each begins the village anew: a recording is one from the first tick on.
  if (wishes.record) {
    const bool was = play_->mode() == Play::Mode::recording;
    end();
    return was ? begin(Play::Mode::live, "") : begin(Play::Mode::recording, new_recording());
  }
  if (wishes.replay && !recording_.empty()) {
    end();
    return begin(Play::Mode::replaying, recording_);
  }
  return true;
}

bool Game::one_frame() {
  const auto began = Clock::now();
  Actions actions;
  if (options_.headless) {
    actions = tour(play_->tick() + 1, options_.frames);
  } else {
    Keyboard::Wishes wishes = keyboard_.take(play_->plugged());
    if (wishes.quit || !switch_mode(wishes)) return false;
    actions = std::move(wishes.actions);
    window_.hud().set_line(keyboard_.line());
  }
  if (!play_->step(std::move(actions))) {  // a replay is over
    if (options_.headless) return false;
    end();
    return begin(Play::Mode::live, "");
  }
  const bool open = window_.draw(*play_, last(frames_), last(spent_));
  frames_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - began).count());
  spent_.push_back(play_->spent());
  if (!options_.screenshots.empty() && play_->tick() % options_.screenshot_every == options_.screenshot_every - 1) {
    take_picture();
  }
  std::this_thread::sleep_until(began + kTick);
  return open;
}

void Game::take_picture() {
  char name[40];
  std::snprintf(name, sizeof name, "frame_%05lld.png", static_cast<long long>(play_->tick()));
  window_.save_picture((std::filesystem::path(options_.screenshots) / name).string());
}

void Game::report() const {
  const Tally& tally = play_->dialogue().tally();
  std::printf("%zu frames of %ux%u: p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, longest %.2f ms\n", frames_.size(),
              options_.width, options_.height, percentile(frames_, 0.5), percentile(frames_, 0.95),
              percentile(frames_, 0.99), percentile(frames_, 1));
  std::printf("inside llmcore: p50 %.1f us, p95 %.1f us, p99 %.1f us, longest %.1f us\n", percentile(spent_, 0.5),
              percentile(spent_, 0.95), percentile(spent_, 0.99), percentile(spent_, 1));
  std::printf(
      "%lld calls: %lld answers (%lld of the cache, %lld fallbacks), %lld failed, %lld open; %lld tokens, $%.6f\n",
      static_cast<long long>(tally.asked), static_cast<long long>(tally.answered), static_cast<long long>(tally.cached),
      static_cast<long long>(tally.fallbacks), static_cast<long long>(tally.failed), static_cast<long long>(tally.open),
      static_cast<long long>(tally.tokens), static_cast<double>(tally.cost) / 1e9);
}

int Game::run() {
  if (!options_.screenshots.empty()) std::filesystem::create_directories(options_.screenshots);
  const Play::Mode mode = !options_.replay.empty()   ? Play::Mode::replaying
                          : !options_.record.empty() ? Play::Mode::recording
                                                     : Play::Mode::live;
  if (!begin(mode, mode == Play::Mode::replaying ? options_.replay : options_.record)) return 1;
  window_.open();
  if (!options_.headless) window_.addInputListener(&keyboard_);
  while (options_.frames == 0 || static_cast<std::int64_t>(frames_.size()) < options_.frames) {
    if (!one_frame()) break;
  }
  report();
  const bool whole = end();
  window_.close();
  return whole ? 0 : 1;
}

}  // namespace village

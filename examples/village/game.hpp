// The loop around play and window: sixty ticks a second, each with its input, its picture and its figures.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "keyboard.hpp"
#include "options.hpp"
#include "play.hpp"
#include "window.hpp"

namespace village {

class Game {
 public:
  explicit Game(const Options& options) : options_(options), window_(options) {}

  /// Plays until the end; the process's exit code.
  int run();

 private:
  [[nodiscard]] bool begin(Play::Mode mode, const std::string& directory);
  /// Ends the play, and says what came of it where it was replayed.
  bool end();
  [[nodiscard]] bool switch_mode(const Keyboard::Wishes& wishes);
  [[nodiscard]] bool one_frame();
  void take_picture();
  void report() const;

  Options options_;
  Window window_;
  Keyboard keyboard_;
  std::unique_ptr<Play> play_;
  std::string recording_;       // that was made or played last
  std::vector<double> frames_;  // milliseconds of each
  std::vector<double> spent_;   // microseconds of each inside llmcore
};

}  // namespace village

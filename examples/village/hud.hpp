// The figures at the edge of the screen: frame time, what llmcore takes of it, calls, tokens, cost, cache; the keys.
#pragma once

#include <string>
#include <vector>

#include "panels.hpp"
#include "play.hpp"

namespace village {

class Hud {
 public:
  Hud(const Fonts& fonts, float scale);

  /// `frames` and `spent`: milliseconds of the last frames, and microseconds of them inside llmcore.
  void show(const Play& play, const std::vector<double>& frames, const std::vector<double>& spent, float width,
            float height);
  /// What the player is typing, or the keys where he is not; a message of the game's has precedence.
  void set_line(const std::string& line) { line_ = line; }

  /// Pixels that the figures take in the upper left corner.
  [[nodiscard]] float wide() const;
  [[nodiscard]] float high() const;

 private:
  const Fonts& fonts_;
  float scale_;
  Panel figures_;
  Ogre::TextAreaOverlayElement& names_;
  Ogre::TextAreaOverlayElement& values_;
  Panel state_;
  Ogre::TextAreaOverlayElement& state_text_;
  Panel keys_;
  Ogre::TextAreaOverlayElement& keys_text_;
  std::string line_;
};

}  // namespace village

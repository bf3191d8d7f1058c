// The keys: what the player wants in this frame.
#pragma once

#include <OgreInput.h>

#include <set>
#include <string>

#include "controls.hpp"

namespace village {

class Keyboard final : public OgreBites::InputListener {
 public:
  struct Wishes {
    Actions actions;
    bool record = false;
    bool replay = false;
    bool quit = false;
  };
  /// What was pressed since the last time. `plugged`: as the network is now.
  [[nodiscard]] Wishes take(bool plugged);
  /// The line at the lower edge: what is being typed, or what the keys do.
  [[nodiscard]] std::string line() const;

  bool keyPressed(const OgreBites::KeyboardEvent& event) override;
  bool keyReleased(const OgreBites::KeyboardEvent& event) override;
  bool textInput(const OgreBites::TextInputEvent& event) override;

 private:
  [[nodiscard]] Point direction() const;

  std::set<OgreBites::Keycode> held_;
  Wishes wishes_;
  Point walks_;  // as was said last
  bool unplug_ = false;
  bool typing_ = false;
  std::string typed_;
  std::size_t asked_ = 0;
};

}  // namespace village

#include "keyboard.hpp"

#include <algorithm>
#include <utility>

namespace village {
namespace {

constexpr OgreBites::Keycode kBackspace = 8;
constexpr std::size_t kMostTyped = 120;

}  // namespace

Point Keyboard::direction() const {
  using namespace OgreBites;
  const auto held = [&](Keycode arrow, Keycode letter) { return held_.count(arrow) + held_.count(letter) > 0 ? 1 : 0; };
  return {held(SDLK_RIGHT, 'd') - held(SDLK_LEFT, 'a'), held(SDLK_DOWN, 's') - held(SDLK_UP, 'w')};
}

Keyboard::Wishes Keyboard::take(bool plugged) {
  const Point way = direction();
  if (way.x != walks_.x || way.z != walks_.z) wishes_.actions.push_back({Action::Kind::walk, way, {}, true});
  walks_ = way;
  if (std::exchange(unplug_, false)) wishes_.actions.push_back({Action::Kind::network, {}, {}, !plugged});
  return std::exchange(wishes_, Wishes{});
}

std::string Keyboard::line() const {
  if (typing_) return "Say to the nearest: " + typed_ + "_   (Enter says it, Esc does not)";
  return "Arrows or WASD walk · E asks · Enter types · N pulls the network · R records · P replays · Esc ends";
}

bool Keyboard::keyPressed(const OgreBites::KeyboardEvent& event) {
  using namespace OgreBites;
  const Keycode key = event.keysym.sym;
  if (typing_) {
    if (key == kBackspace && !typed_.empty()) {
      while (!typed_.empty() && (static_cast<unsigned char>(typed_.back()) & 0xC0U) == 0x80U) typed_.pop_back();
      if (!typed_.empty()) typed_.pop_back();
    }
    if (key == SDLK_RETURN && !typed_.empty()) wishes_.actions.push_back({Action::Kind::ask, {}, typed_, true});
    typing_ = key != SDLK_RETURN && key != SDLK_ESCAPE;
    return true;
  }
  held_.insert(key);
  if (event.repeat != 0) return true;
  if (key == 'e') wishes_.actions.push_back({Action::Kind::ask, {}, question(asked_++), true});
  if (key == 'n') unplug_ = !unplug_;
  if (key == 'r') wishes_.record = true;
  if (key == 'p') wishes_.replay = true;
  if (key == SDLK_ESCAPE) wishes_.quit = true;
  if (key == SDLK_RETURN) {
    typing_ = true;
    typed_.clear();
    held_.clear();
  }
  return true;
}

bool Keyboard::keyReleased(const OgreBites::KeyboardEvent& event) {
  held_.erase(event.keysym.sym);
  return true;
}

bool Keyboard::textInput(const OgreBites::TextInputEvent& event) {
  if (typing_ && typed_.size() < kMostTyped) typed_ += event.chars;
  return true;
}

}  // namespace village

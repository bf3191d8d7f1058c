// What is said, over the heads of those who say it: one bubble for each, its look by how urgent the call is.
#pragma once

#include <Ogre.h>

#include <memory>
#include <string>
#include <vector>

#include "dialogue.hpp"
#include "fonts.hpp"
#include "panels.hpp"

namespace village {

class Bubbles {
 public:
  /// `speakers`: how many can speak.
  Bubbles(const Fonts& fonts, std::size_t speakers, float scale);
  ~Bubbles();

  /// Begins a frame in which nobody speaks, on a screen of so many pixels, of which the upper left corner is taken.
  void clear(float width, float height, const Ogre::Vector2& corner);
  /// That one speaks, from this place of the screen. Bubbles that came first keep their place; others make way upwards.
  /// What the last speaker says, the player, is written below.
  void show(std::size_t speaker, const std::string& name, const Speech& speech, std::int64_t tick,
            const Ogre::Vector2& mouth);

 private:
  struct Bubble;
  struct Box {
    float left = 0, top = 0, width = 0, height = 0;
  };
  [[nodiscard]] Box free_place(Box box) const;

  const Fonts& fonts_;
  float scale_;
  float width_ = 0;
  float height_ = 0;
  Ogre::Vector2 corner_ = Ogre::Vector2::ZERO;
  std::vector<std::unique_ptr<Bubble>> bubbles_;
  std::vector<Box> taken_;
};

}  // namespace village

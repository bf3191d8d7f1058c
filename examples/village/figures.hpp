// The people: a body, a head, two legs that walk, in the colours of whoever it is.
#pragma once

#include <Ogre.h>

#include <vector>

#include "world.hpp"

namespace village {

class Figure {
 public:
  struct Look {
    Ogre::ColourValue coat;
    Ogre::ColourValue hair;
    float size = 1;
    bool hat = false;
    bool skirt = false;
  };

  Figure(Ogre::SceneManager& scene, const Look& look);
  /// Puts it where the walker is, in this tick.
  void follow(const Walker& walker, std::int64_t tick);
  /// A point over its head, for what it says.
  [[nodiscard]] Ogre::Vector3 above() const;

 private:
  Ogre::SceneNode* node_;
  Ogre::SceneNode* left_;
  Ogre::SceneNode* right_;
  float size_;
  float turned_ = 0;
};

/// One for each villager, and the player's as the last.
[[nodiscard]] std::vector<Figure> figures(Ogre::SceneManager& scene);

}  // namespace village

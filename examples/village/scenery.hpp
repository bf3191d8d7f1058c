// What does not move: ground and paths, houses, the well, trees, hills, sky and sun.
#pragma once

#include <Ogre.h>

namespace village {

/// Puts all of it into an empty scene.
void build_scenery(Ogre::SceneManager& scene);

}  // namespace village

#include "figures.hpp"

#include <cmath>

#include "shapes.hpp"

namespace village {
namespace {

using Ogre::ColourValue;
using V = Ogre::Vector3;

const ColourValue kSkin(0.93F, 0.76F, 0.62F);
const ColourValue kBoots(0.25F, 0.19F, 0.15F);
constexpr float kHip = 0.72F;

Ogre::SceneNode* leg(Ogre::SceneManager& scene, Ogre::SceneNode& body, float side, const ColourValue& colour) {
  Shapes shapes;
  shapes.cone({0, -kHip + 0.16F, 0}, 0.1F, 0.13F, kHip - 0.16F, 8, colour);
  shapes.box({-0.11F, -kHip, -0.12F}, {0.11F, -kHip + 0.18F, 0.2F}, kBoots);
  Ogre::SceneNode* const node = body.createChildSceneNode(V(side, kHip, 0));
  shapes.build(scene, *node, painted());
  return node;
}

void trunk(Ogre::SceneManager& scene, Ogre::SceneNode& node, const Figure::Look& look) {
  Shapes shapes;
  if (look.skirt) {
    shapes.cone({0, 0.22F, 0}, 0.46F, 0.24F, 0.72F, 12, look.coat * 0.86F);
  } else {
    shapes.cone({0, 0.6F, 0}, 0.33F, 0.27F, 0.3F, 12, look.coat * 0.86F);
  }
  shapes.cone({0, 0.88F, 0}, 0.28F, 0.3F, 0.08F, 12, kBoots);
  shapes.cone({0, 0.94F, 0}, 0.29F, 0.22F, 0.5F, 12, look.coat);
  for (const float side : {-1.0F, 1.0F}) {
    shapes.cone({side * 0.34F, 0.8F, 0.04F}, 0.08F, 0.11F, 0.58F, 8, look.coat * 0.93F);
    shapes.ball({side * 0.34F, 0.76F, 0.04F}, {0.09F, 0.1F, 0.09F}, 8, kSkin);
  }
  shapes.ball({0, 1.68F, 0}, {0.25F, 0.28F, 0.25F}, 12, kSkin);
  shapes.ball({0, 1.66F, 0.24F}, {0.05F, 0.06F, 0.06F}, 6, kSkin * 0.92F);
  for (const float side : {-0.1F, 0.1F}) shapes.ball({side, 1.74F, 0.215F}, {0.035F, 0.045F, 0.03F}, 6, kBoots * 0.5F);
  shapes.ball({0, 1.76F, -0.06F}, {0.27F, 0.25F, 0.25F}, 12, look.hair);
  if (look.hat) {
    shapes.cone({0, 1.86F, -0.02F}, 0.46F, 0.44F, 0.04F, 14, look.hair * 0.7F);
    shapes.cone({0, 1.9F, -0.02F}, 0.26F, 0.2F, 0.22F, 14, look.hair * 0.7F);
  }
  shapes.build(scene, node, painted());
}

}  // namespace

Figure::Figure(Ogre::SceneManager& scene, const Look& look) : size_(look.size) {
  node_ = scene.getRootSceneNode()->createChildSceneNode();
  node_->setScale(V(size_));
  trunk(scene, *node_, look);
  left_ = leg(scene, *node_, -0.14F, look.coat * 0.55F);
  right_ = leg(scene, *node_, 0.14F, look.coat * 0.55F);
}

void Figure::follow(const Walker& walker, std::int64_t tick) {
  // It turns to where it looks, and is not there at once.
  const float wanted = std::atan2(static_cast<float>(walker.facing.x), static_cast<float>(walker.facing.z));
  turned_ += 0.15F * std::remainder(wanted - turned_, Ogre::Math::TWO_PI);
  const float stride = static_cast<float>(walker.walked) / 1'000 * 4.2F;
  const float swing = walker.walking ? 0.55F * std::sin(stride) : 0;
  const float bob =
      walker.walking ? 0.05F * std::abs(std::cos(stride)) : 0.012F * std::sin(0.05F * static_cast<float>(tick));
  node_->setPosition(static_cast<float>(walker.at.x) / 1'000, bob, static_cast<float>(walker.at.z) / 1'000);
  node_->setOrientation(Ogre::Quaternion(Ogre::Radian(turned_), V::UNIT_Y));
  left_->setOrientation(Ogre::Quaternion(Ogre::Radian(swing), V::UNIT_X));
  right_->setOrientation(Ogre::Quaternion(Ogre::Radian(-swing), V::UNIT_X));
}

Ogre::Vector3 Figure::above() const { return node_->getPosition() + V(0, 2.25F * size_, 0); }

std::vector<Figure> figures(Ogre::SceneManager& scene) {
  const Figure::Look looks[] = {
      {ColourValue(0.72F, 0.22F, 0.26F), ColourValue(0.45F, 0.24F, 0.12F), 1.0F, false, true},    // Mira
      {ColourValue(0.34F, 0.36F, 0.42F), ColourValue(0.16F, 0.13F, 0.12F), 1.08F, false, false},  // Jon
      {ColourValue(0.48F, 0.42F, 0.30F), ColourValue(0.78F, 0.77F, 0.74F), 0.96F, true, false},   // Old Pell
      {ColourValue(0.30F, 0.46F, 0.62F), ColourValue(0.85F, 0.68F, 0.34F), 1.0F, true, true},     // Hanna
      {ColourValue(0.80F, 0.56F, 0.22F), ColourValue(0.52F, 0.33F, 0.16F), 0.74F, false, false},  // Tobin
      {ColourValue(0.36F, 0.52F, 0.36F), ColourValue(0.62F, 0.60F, 0.60F), 0.98F, false, true},   // Edda
      {ColourValue(0.22F, 0.30F, 0.55F), ColourValue(0.30F, 0.20F, 0.12F), 1.04F, true, false},   // the player
  };
  std::vector<Figure> made;
  for (const Figure::Look& look : looks) made.emplace_back(scene, look);
  return made;
}

}  // namespace village

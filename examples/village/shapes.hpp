// Low-poly shapes by code: triangles with a colour each, lit flat, gathered into one mesh.
#pragma once

#include <Ogre.h>

#include <string>
#include <vector>

namespace village {

class Shapes {
 public:
  using V = Ogre::Vector3;
  using Colour = Ogre::ColourValue;

  /// Where what is added from here on stands, turned about the vertical by so many radians.
  void place(const V& at, float turned = 0);

  void triangle(const V& a, const V& b, const V& c, const Colour& colour);
  void quad(const V& a, const V& b, const V& c, const V& d, const Colour& colour);
  /// From `low` to `high`; no bottom.
  void box(const V& low, const V& high, const Colour& colour);
  /// A gabled roof over the box's top, along the x axis.
  void roof(const V& low, const V& high, const Colour& tiles, const Colour& gable);
  /// Upright, from one radius to another: a cylinder, a cone, the frustum of one. With a lid.
  void cone(const V& base, float low_radius, float high_radius, float height, int sides, const Colour& colour);
  void ball(const V& centre, const V& radius, int sides, const Colour& colour);

  /// As an object of the scene, under `parent`.
  Ogre::ManualObject* build(Ogre::SceneManager& scene, Ogre::SceneNode& parent, const std::string& material) const;

 private:
  struct Triangle {
    V corner[3];
    Colour colour;
  };
  std::vector<Triangle> triangles_;
  V at_ = V::ZERO;
  Ogre::Quaternion turned_;
};

/// The material of everything that stands in the village: lit by the sun, coloured by its triangles. Shadows fall on the
/// ground alone, which has a picture: where they fall, Ogre would multiply by the colours of triangles once more.
[[nodiscard]] std::string painted();

/// A number from 0 to 1 that looks random, the same for the same arguments.
[[nodiscard]] float speckle(int x, int z);

}  // namespace village

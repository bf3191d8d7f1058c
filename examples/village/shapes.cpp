#include "shapes.hpp"

#include <cmath>
#include <cstdint>

namespace village {

void Shapes::place(const V& at, float turned) {
  at_ = at;
  turned_ = Ogre::Quaternion(Ogre::Radian(turned), V::UNIT_Y);
}

void Shapes::triangle(const V& a, const V& b, const V& c, const Colour& colour) {
  triangles_.push_back({{turned_ * a + at_, turned_ * b + at_, turned_ * c + at_}, colour});
}

void Shapes::quad(const V& a, const V& b, const V& c, const V& d, const Colour& colour) {
  triangle(a, b, c, colour);
  triangle(a, c, d, colour);
}

void Shapes::box(const V& low, const V& high, const Colour& colour) {
  const V a(low.x, low.y, high.z), b(high.x, low.y, high.z), c(high.x, low.y, low.z), d(low.x, low.y, low.z);
  const V up(0, high.y - low.y, 0);
  quad(a, b, b + up, a + up, colour);
  quad(b, c, c + up, b + up, colour);
  quad(c, d, d + up, c + up, colour);
  quad(d, a, a + up, d + up, colour);
  quad(a + up, b + up, c + up, d + up, colour);
}

void Shapes::roof(const V& low, const V& high, const Colour& tiles, const Colour& gable) {
  const float middle = (low.z + high.z) / 2;
  const V a(low.x, low.y, high.z), b(high.x, low.y, high.z), c(high.x, low.y, low.z), d(low.x, low.y, low.z);
  const V left(low.x, high.y, middle), right(high.x, high.y, middle);
  quad(a, b, right, left, tiles);
  quad(c, d, left, right, tiles);
  triangle(b, c, right, gable);
  triangle(d, a, left, gable);
  quad(d, c, b, a, gable);
}

void Shapes::cone(const V& base, float low_radius, float high_radius, float height, int sides, const Colour& colour) {
  const auto at = [&](int side, float radius, float up) {
    const float angle = Ogre::Math::TWO_PI * static_cast<float>(side) / static_cast<float>(sides);
    return base + V(radius * std::cos(angle), up, -radius * std::sin(angle));
  };
  const V top = base + V(0, height, 0);
  for (int side = 0; side < sides; ++side) {
    quad(at(side, low_radius, 0), at(side + 1, low_radius, 0), at(side + 1, high_radius, height),
         at(side, high_radius, height), colour);
    if (high_radius > 0) triangle(at(side, high_radius, height), at(side + 1, high_radius, height), top, colour);
  }
}

void Shapes::ball(const V& centre, const V& radius, int sides, const Colour& colour) {
  const int rings = sides / 2 + 1;
  const auto at = [&](int ring, int side) {
    const float down = Ogre::Math::PI * static_cast<float>(ring) / static_cast<float>(rings);
    const float around = Ogre::Math::TWO_PI * static_cast<float>(side) / static_cast<float>(sides);
    return centre + radius * V(std::sin(down) * std::cos(around), std::cos(down), -std::sin(down) * std::sin(around));
  };
  for (int ring = 0; ring < rings; ++ring) {
    for (int side = 0; side < sides; ++side) {
      quad(at(ring + 1, side), at(ring + 1, side + 1), at(ring, side + 1), at(ring, side), colour);
    }
  }
}

Ogre::ManualObject* Shapes::build(Ogre::SceneManager& scene, Ogre::SceneNode& parent,
                                  const std::string& material) const {
  Ogre::ManualObject* const object = scene.createManualObject();
  object->begin(material, Ogre::RenderOperation::OT_TRIANGLE_LIST);
  std::uint32_t corners = 0;
  for (const Triangle& each : triangles_) {
    const V normal = (each.corner[1] - each.corner[0]).crossProduct(each.corner[2] - each.corner[0]);
    if (normal.squaredLength() < 1e-12F) continue;  // the poles of a ball
    for (const V& corner : each.corner) {
      object->position(corner);
      object->normal(normal.normalisedCopy());
      object->colour(each.colour);
      object->index(corners++);
    }
  }
  object->end();
  parent.attachObject(object);
  return object;
}

std::string painted() {
  const std::string name = "village/painted";
  auto& materials = Ogre::MaterialManager::getSingleton();
  if (!materials.getByName(name)) {
    const Ogre::MaterialPtr material = materials.create(name, Ogre::RGN_DEFAULT);
    material->setReceiveShadows(false);
    Ogre::Pass* const pass = material->getTechnique(0)->getPass(0);
    pass->setVertexColourTracking(Ogre::TVC_AMBIENT | Ogre::TVC_DIFFUSE);
    pass->setSpecular(Ogre::ColourValue::Black);
  }
  return name;
}

float speckle(int x, int z) {
  std::uint32_t hash = static_cast<std::uint32_t>(x) * 73'856'093U ^ static_cast<std::uint32_t>(z) * 19'349'663U;
  hash = (hash ^ hash >> 15U) * 0x2C1B3C6DU;
  hash = (hash ^ hash >> 12U) * 0x297A2D39U;
  return static_cast<float>((hash ^ hash >> 15U) & 0xFFFFU) / 65'535.0F;
}

}  // namespace village

#include "scenery.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "shapes.hpp"
#include "world.hpp"

namespace village {
namespace {

using Ogre::ColourValue;
using V = Ogre::Vector3;

const ColourValue kSky(0.62F, 0.79F, 0.93F);
const ColourValue kGrass(0.43F, 0.61F, 0.28F);
const ColourValue kDryGrass(0.55F, 0.66F, 0.33F);
const ColourValue kPath(0.72F, 0.61F, 0.44F);
const ColourValue kStone(0.62F, 0.61F, 0.58F);
const ColourValue kTimber(0.36F, 0.24F, 0.15F);

V metres(Point at) { return {static_cast<float>(at.x) / 1'000, 0, static_cast<float>(at.z) / 1'000}; }

ColourValue mixed(const ColourValue& a, const ColourValue& b, float share) { return a * (1 - share) + b * share; }

/// How far a place is from the paths, which lead from the well to each house.
float from_paths(const V& at) {
  float best = std::max(0.0F, at.length() - 3.2F);
  for (const Obstacle& house : obstacles()) {
    const V end = metres(house.at);
    if (end.length() < 1) continue;
    const float along = std::clamp(at.dotProduct(end) / end.squaredLength(), 0.0F, 1.0F);
    best = std::min(best, at.distance(end * along));
  }
  // The road out, to the south.
  return at.z > 0 ? std::min(best, std::abs(at.x + 1.2F * std::sin(at.z * 0.15F))) : best;
}

/// Between the specks of the four corners around a place: a meadow has no squares.
float smooth_speckle(float x, float z) {
  const float column = std::floor(x);
  const float row = std::floor(z);
  const auto at = [&](int right, int down) {
    return speckle(static_cast<int>(column) + right, static_cast<int>(row) + down);
  };
  const auto between = [](float a, float b, float share) { return a + (b - a) * share * share * (3 - 2 * share); };
  return between(between(at(0, 0), at(1, 0), x - column), between(at(0, 1), at(1, 1), x - column), z - row);
}

ColourValue ground_colour(float x, float z) {
  const ColourValue grass = mixed(kGrass, kDryGrass, smooth_speckle(x / 1.7F, z / 1.7F));
  const float ragged = from_paths({x, 0, z}) + 0.6F * smooth_speckle(x * 1.6F, z * 1.6F);
  return mixed(kPath, grass, std::clamp((ragged - 1.1F) / 0.3F, 0.0F, 1.0F));
}

constexpr float kMeadow = 28;  // metres to each side that the ground's picture shows; the rest is plain

/// The material of the ground: its picture, seen from above.
std::string meadow() {
  constexpr unsigned kSide = 512;
  std::vector<std::uint8_t> bytes;
  for (unsigned row = 0; row < kSide; ++row) {
    for (unsigned column = 0; column < kSide; ++column) {
      const auto place = [](unsigned number) {
        return (2 * (static_cast<float>(number) + 0.5F) / kSide - 1) * kMeadow;
      };
      const ColourValue colour = ground_colour(place(column), place(row));
      for (const float each : {colour.r, colour.g, colour.b})
        bytes.push_back(static_cast<std::uint8_t>(std::lround(255 * each)));
    }
  }
  const std::string name = "village/meadow";
  Ogre::DataStreamPtr stream = std::make_shared<Ogre::MemoryDataStream>(bytes.data(), bytes.size());
  Ogre::TextureManager::getSingleton().loadRawData(name, Ogre::RGN_DEFAULT, stream, kSide, kSide, Ogre::PF_BYTE_RGB);
  Ogre::Pass* const pass =
      Ogre::MaterialManager::getSingleton().create(name, Ogre::RGN_DEFAULT)->getTechnique(0)->getPass(0);
  pass->createTextureUnitState(name)->setTextureAddressingMode(Ogre::TextureUnitState::TAM_CLAMP);
  return name;
}

void ground(Ogre::SceneManager& scene) {
  Ogre::ManualObject* const object = scene.createManualObject();
  object->begin(meadow(), Ogre::RenderOperation::OT_TRIANGLE_LIST);
  for (const V& corner : {V(-1, 0, 1), V(1, 0, 1), V(1, 0, -1), V(-1, 0, -1)}) {
    object->position(corner * kMeadow);
    object->normal(V::UNIT_Y);
    object->textureCoord((corner.x + 1) / 2, (corner.z + 1) / 2);
  }
  object->quad(0, 1, 2, 3);
  object->end();
  object->setCastShadows(false);
  scene.getRootSceneNode()->attachObject(object);

  Shapes around;
  constexpr float kFar = 160;
  const ColourValue plain = mixed(kGrass, kDryGrass, 0.5F);
  for (int side = 0; side < 4; ++side) {
    around.place(V::ZERO, Ogre::Math::HALF_PI * static_cast<float>(side));
    around.quad({-kFar, 0, kFar}, {kFar, 0, kFar}, {kMeadow, 0, kMeadow}, {-kMeadow, 0, kMeadow}, plain);
  }
  around.build(scene, *scene.getRootSceneNode(), painted())->setCastShadows(false);
}

/// A house whose door looks to the well.
void house(Shapes& shapes, const V& at, const ColourValue& wall, const ColourValue& tiles, int look) {
  shapes.place(at, std::atan2(-at.x, -at.z));
  const float half = 2.6F + 0.5F * speckle(look, 1);
  const float deep = 2.2F;
  const float high = 2.5F + 0.5F * speckle(look, 2);
  shapes.box({-half - 0.1F, 0, -deep - 0.1F}, {half + 0.1F, 0.35F, deep + 0.1F}, kStone);
  shapes.box({-half, 0.35F, -deep}, {half, high, deep}, wall);
  for (const float x : {-half, half}) {
    for (const float z : {-deep, deep})
      shapes.box({x - 0.12F, 0.35F, z - 0.12F}, {x + 0.12F, high, z + 0.12F}, kTimber);
  }
  shapes.box({-half, high - 0.2F, -deep - 0.06F}, {half, high, deep + 0.06F}, kTimber);
  shapes.roof({-half - 0.5F, high - 0.05F, -deep - 0.6F}, {half + 0.5F, high + 2.3F, deep + 0.6F}, tiles, wall * 0.9F);
  shapes.box({half * 0.45F, high + 0.6F, -0.9F}, {half * 0.45F + 0.7F, high + 2.9F, -0.2F}, kStone * 0.85F);
  // A door with a step, and two lit windows.
  shapes.box({-0.5F, 0, deep}, {0.5F, 0.2F, deep + 0.5F}, kStone);
  shapes.box({-0.55F, 0.3F, deep - 0.1F}, {0.55F, 2.0F, deep + 0.05F}, kTimber);
  shapes.box({-0.43F, 0.3F, deep - 0.1F}, {0.43F, 1.9F, deep + 0.08F}, ColourValue(0.5F, 0.32F, 0.18F));
  for (const float x : {-half * 0.62F, half * 0.62F}) {
    shapes.box({x - 0.48F, 1.05F, deep - 0.1F}, {x + 0.48F, 1.95F, deep + 0.05F}, kTimber);
    shapes.box({x - 0.38F, 1.15F, deep - 0.1F}, {x + 0.38F, 1.85F, deep + 0.08F}, ColourValue(0.98F, 0.86F, 0.52F));
  }
}

void houses(Shapes& shapes) {
  const std::array<ColourValue, 5> walls{ColourValue(0.92F, 0.87F, 0.76F), ColourValue(0.86F, 0.79F, 0.66F),
                                         ColourValue(0.80F, 0.83F, 0.80F), ColourValue(0.93F, 0.83F, 0.70F),
                                         ColourValue(0.87F, 0.85F, 0.82F)};
  const std::array<ColourValue, 5> tiles{ColourValue(0.70F, 0.30F, 0.22F), ColourValue(0.55F, 0.42F, 0.28F),
                                         ColourValue(0.36F, 0.42F, 0.52F), ColourValue(0.76F, 0.42F, 0.24F),
                                         ColourValue(0.48F, 0.30F, 0.32F)};
  for (std::size_t i = 1; i < obstacles().size(); ++i) {  // the first is the well
    house(shapes, metres(obstacles()[i].at), walls[(i - 1) % 5], tiles[(i - 1) % 5], static_cast<int>(i));
  }
}

void well(Shapes& shapes) {
  shapes.place(V::ZERO, 0.5F);
  shapes.cone({0, 0, 0}, 1.15F, 1.1F, 0.85F, 12, kStone);
  shapes.cone({0, 0.86F, 0}, 0.85F, 0.85F, 0.01F, 12, ColourValue(0.16F, 0.28F, 0.38F));
  for (const float x : {-1.0F, 1.0F}) shapes.box({x - 0.09F, 0.6F, -0.09F}, {x + 0.09F, 2.3F, 0.09F}, kTimber);
  shapes.box({-1.0F, 1.75F, -0.06F}, {1.0F, 1.87F, 0.06F}, kTimber);
  shapes.roof({-1.4F, 2.25F, -0.9F}, {1.4F, 3.1F, 0.9F}, ColourValue(0.55F, 0.42F, 0.28F), kTimber);
}

void tree(Shapes& shapes, const V& at, int look) {
  const float size = 0.85F + 0.6F * speckle(look, 7);
  shapes.place(at, 6.28F * speckle(look, 8));
  shapes.cone(V::ZERO, 0.26F * size, 0.16F * size, 1.6F * size, 6, ColourValue(0.40F, 0.28F, 0.18F));
  if (look % 3 != 0) {
    const ColourValue green =
        mixed(ColourValue(0.14F, 0.36F, 0.22F), ColourValue(0.22F, 0.46F, 0.24F), speckle(look, 9));
    for (int tier = 0; tier < 3; ++tier) {
      const auto up = static_cast<float>(tier);
      shapes.cone({0, (1.1F + 1.15F * up) * size, 0}, (1.75F - 0.42F * up) * size, 0.05F, 1.9F * size, 8,
                  green * (0.9F + 0.1F * up));
    }
  } else {
    const ColourValue green =
        mixed(ColourValue(0.30F, 0.52F, 0.20F), ColourValue(0.55F, 0.60F, 0.22F), speckle(look, 9));
    shapes.ball({0, 2.7F * size, 0}, V(1.5F, 1.35F, 1.5F) * size, 9, green);
    shapes.ball({0.8F * size, 2.2F * size, 0.4F * size}, V(0.9F, 0.8F, 0.9F) * size, 8, green * 0.93F);
  }
}

void trees(Shapes& shapes) {
  for (int i = 0; i < 130; ++i) {
    const float angle = 2.399963F * static_cast<float>(i);  // the golden angle: never two in a row
    const float radius = 17.5F + 0.33F * static_cast<float>(i) + 3 * speckle(i, 3);
    const V at(radius * std::cos(angle), 0, radius * std::sin(angle));
    const bool on_road = at.z > 0 && std::abs(at.x) < 4.5F;
    const bool in_house = std::any_of(obstacles().begin(), obstacles().end(),
                                      [&](const Obstacle& each) { return metres(each.at).distance(at) < 5.2F; });
    if (!on_road && !in_house) tree(shapes, at, i);
  }
}

void hills(Shapes& shapes) {
  for (int i = 0; i < 17; ++i) {
    const float angle = Ogre::Math::TWO_PI * static_cast<float>(i) / 17;
    const float radius = 95 + 30 * speckle(i, 11);
    const float wide = 30 + 22 * speckle(i, 12);
    shapes.place({radius * std::cos(angle), -2, radius * std::sin(angle)}, 0);
    shapes.ball(V::ZERO, {wide, 9 + 13 * speckle(i, 13), wide}, 14,
                mixed(ColourValue(0.36F, 0.55F, 0.34F), ColourValue(0.42F, 0.58F, 0.46F), speckle(i, 14)));
  }
}

void clouds(Shapes& shapes) {
  for (int i = 0; i < 9; ++i) {
    const float angle = 3.3F + 0.36F * static_cast<float>(i);
    shapes.place({115 * std::cos(angle), 33 + 12 * speckle(i, 21), 115 * std::sin(angle)}, -angle);
    for (int puff = -1; puff <= 1; ++puff) {
      const auto side = static_cast<float>(puff);
      shapes.ball({0, -side * side, 6 * side}, V(5, 2.6F, 7) * (1.1F - 0.3F * side * side), 9, ColourValue::White);
    }
  }
}

void sunlight(Ogre::SceneManager& scene) {
  scene.setAmbientLight(ColourValue(0.50F, 0.52F, 0.58F));
  Ogre::Light* const sun = scene.createLight();
  sun->setType(Ogre::Light::LT_DIRECTIONAL);
  sun->setDiffuseColour(ColourValue(0.78F, 0.72F, 0.60F));
  sun->setSpecularColour(ColourValue::Black);
  Ogre::SceneNode* const node = scene.getRootSceneNode()->createChildSceneNode();
  node->attachObject(sun);
  node->setDirection(V(-0.55F, -0.9F, -0.42F).normalisedCopy(), Ogre::Node::TS_WORLD);

  scene.setShadowTechnique(Ogre::SHADOWTYPE_TEXTURE_MODULATIVE);
  scene.setShadowColour(ColourValue(0.62F, 0.64F, 0.72F));
  scene.setShadowTextureSettings(2'048, 1, Ogre::PF_X8R8G8B8);
  scene.setShadowFarDistance(48);
  scene.setShadowDirLightTextureOffset(0.6F);
  scene.setFog(Ogre::FOG_LINEAR, kSky, 0, 45, 150);
}

}  // namespace

void build_scenery(Ogre::SceneManager& scene) {
  sunlight(scene);
  ground(scene);
  Shapes standing;
  houses(standing);
  well(standing);
  trees(standing);
  standing.build(scene, *scene.getRootSceneNode(), painted());
  Shapes distant;
  hills(distant);
  clouds(distant);
  distant.build(scene, *scene.getRootSceneNode(), painted())->setCastShadows(false);
}

}  // namespace village

#include "panels.hpp"

#include <OgreOverlayManager.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace village {
namespace {

using Ogre::ColourValue;

constexpr int kSide = 64;      // pixels of the picture that a rounded panel is cut from
constexpr float kRound = 22;   // radius of its corners
constexpr int kSamples = 4;    // to each side of a pixel, for smooth edges
constexpr float kCorner = 11;  // pixels of a corner on the screen

/// A material that shows a picture given point by point: x and y from 0 to kSide.
std::string drawn(const std::string& name, const std::function<ColourValue(float, float)>& at) {
  auto& materials = Ogre::MaterialManager::getSingleton();
  if (materials.getByName(name)) return name;
  std::vector<std::uint8_t> bytes;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      ColourValue sum(0, 0, 0, 0);
      for (int part = 0; part < kSamples * kSamples; ++part) {
        const float right = (static_cast<float>(part % kSamples) + 0.5F) / kSamples;
        const float down = (static_cast<float>(part / kSamples) + 0.5F) / kSamples;
        const ColourValue colour = at(static_cast<float>(x) + right, static_cast<float>(y) + down);
        sum += ColourValue(colour.r * colour.a, colour.g * colour.a, colour.b * colour.a, colour.a);
      }
      const float alpha = std::max(sum.a, 1e-4F);
      for (const float each : {sum.r / alpha, sum.g / alpha, sum.b / alpha, sum.a / (kSamples * kSamples)}) {
        bytes.push_back(static_cast<std::uint8_t>(std::lround(255 * std::clamp(each, 0.0F, 1.0F))));
      }
    }
  }
  Ogre::DataStreamPtr stream = std::make_shared<Ogre::MemoryDataStream>(bytes.data(), bytes.size());
  Ogre::TextureManager::getSingleton().loadRawData(name, Ogre::RGN_DEFAULT, stream, kSide, kSide, Ogre::PF_BYTE_RGBA,
                                                   Ogre::TEX_TYPE_2D, 0);
  Ogre::Pass* const pass = materials.create(name, Ogre::RGN_DEFAULT)->getTechnique(0)->getPass(0);
  pass->setLightingEnabled(false);
  pass->setDepthCheckEnabled(false);
  pass->setDepthWriteEnabled(false);
  pass->setSceneBlending(Ogre::SBT_TRANSPARENT_ALPHA);
  pass->createTextureUnitState(name)->setTextureAddressingMode(Ogre::TextureUnitState::TAM_CLAMP);
  return name;
}

std::string rounded(const PanelStyle& style) {
  return drawn("village/panel/" + style.name, [&](float x, float y) {
    constexpr float kMiddle = kSide / 2.0F;
    const float right = std::max(0.0F, std::abs(x - kMiddle) - (kMiddle - kRound));
    const float down = std::max(0.0F, std::abs(y - kMiddle) - (kMiddle - kRound));
    const float out = std::hypot(right, down);
    if (out > kRound - 1) return ColourValue(style.edge.r, style.edge.g, style.edge.b, 0);
    return out > kRound - 4 ? style.edge : style.fill;
  });
}

}  // namespace

std::string tail_material(const PanelStyle& style, Tail tail) {
  const ColourValue nothing(style.edge.r, style.edge.g, style.edge.b, 0);
  if (tail == Tail::thought) {
    return drawn("village/dots/" + style.name, [&](float x, float y) {
      const float big = std::hypot(x - 26, y - 22) - 15;
      const float little = std::hypot(x - 46, y - 50) - 9;
      const float out = std::min(big, little);
      return out > 0 ? nothing : out > -3.5F ? style.edge : style.fill;
    });
  }
  return drawn("village/tail/" + style.name, [&](float x, float y) {
    const float half = 0.5F * (kSide - y);  // a wedge with its point below
    const float in = half - std::abs(x - kSide / 2.0F);
    return in < 0 ? nothing : in < 5 ? style.edge : style.fill;
  });
}

Panel::Panel(const std::string& name, const PanelStyle& style, unsigned short z_order, float scale) : name_(name) {
  auto& overlays = Ogre::OverlayManager::getSingleton();
  overlay_ = overlays.create("village/" + name);
  overlay_->setZOrder(z_order);
  panel_ = static_cast<Ogre::BorderPanelOverlayElement*>(
      overlays.createOverlayElement("BorderPanel", "village/panel/" + name));
  panel_->setMetricsMode(Ogre::GMM_PIXELS);
  const float corner = std::round(kCorner * scale);
  panel_->setBorderSize(corner, corner, corner, corner);
  set_style(style);
  // The picture's corners, sides and middle.
  const float near = kRound / kSide;
  const float far = 1 - near;
  panel_->setTopLeftBorderUV(0, 0, near, near);
  panel_->setTopBorderUV(near, 0, far, near);
  panel_->setTopRightBorderUV(far, 0, 1, near);
  panel_->setLeftBorderUV(0, near, near, far);
  panel_->setUV(near, near, far, far);
  panel_->setRightBorderUV(far, near, 1, far);
  panel_->setBottomLeftBorderUV(0, far, near, 1);
  panel_->setBottomBorderUV(near, far, far, 1);
  panel_->setBottomRightBorderUV(far, far, 1, 1);
  overlay_->add2D(panel_);
}

void Panel::set_style(const PanelStyle& style) {
  const std::string material = rounded(style);
  panel_->setMaterialName(material);
  panel_->setBorderMaterialName(material);
}

void Panel::place(float left, float top, float width, float height) {
  panel_->setPosition(std::round(left), std::round(top));
  panel_->setDimensions(std::round(width), std::round(height));
}

void Panel::show(bool shown) { shown ? overlay_->show() : overlay_->hide(); }

Ogre::TextAreaOverlayElement& Panel::add_text(const Lettering& lettering, const ColourValue& colour) {
  auto& overlays = Ogre::OverlayManager::getSingleton();
  auto* const text = static_cast<Ogre::TextAreaOverlayElement*>(
      overlays.createOverlayElement("TextArea", "village/text/" + name_ + std::to_string(parts_++)));
  text->setMetricsMode(Ogre::GMM_PIXELS);
  text->setFontName(lettering.font());
  text->setCharHeight(lettering.height());
  text->setSpaceWidth(lettering.space());
  text->setColour(colour);
  panel_->addChild(text);
  return *text;
}

Ogre::PanelOverlayElement& Panel::add_picture(const std::string& material) {
  auto& overlays = Ogre::OverlayManager::getSingleton();
  auto* const picture = static_cast<Ogre::PanelOverlayElement*>(
      overlays.createOverlayElement("Panel", "village/picture/" + name_ + std::to_string(parts_++)));
  picture->setMetricsMode(Ogre::GMM_PIXELS);
  picture->setMaterialName(material);
  panel_->addChild(picture);
  return *picture;
}

}  // namespace village

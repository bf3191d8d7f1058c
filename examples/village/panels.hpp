// Flat things on the screen, in pixels: rounded panels drawn by code, and texts.
#pragma once

#include <OgreBorderPanelOverlayElement.h>
#include <OgreOverlay.h>
#include <OgreTextAreaOverlayElement.h>

#include <string>

#include "fonts.hpp"

namespace village {

struct PanelStyle {
  std::string name;
  Ogre::ColourValue fill;
  Ogre::ColourValue edge;
};

/// A rounded rectangle in an overlay of its own. What is put into it lies over it, in coordinates that begin at its upper
/// left corner.
class Panel {
 public:
  Panel(const std::string& name, const PanelStyle& style, unsigned short z_order, float scale);

  void set_style(const PanelStyle& style);
  void place(float left, float top, float width, float height);
  void show(bool shown);
  Ogre::TextAreaOverlayElement& add_text(const Lettering& lettering, const Ogre::ColourValue& colour);
  Ogre::PanelOverlayElement& add_picture(const std::string& material);

 private:
  std::string name_;
  int parts_ = 0;
  Ogre::Overlay* overlay_;
  Ogre::BorderPanelOverlayElement* panel_;
};

enum class Tail { speech, thought };
/// A material that shows where a bubble comes from, by the bubble's style: a wedge, or smaller bubbles.
[[nodiscard]] std::string tail_material(const PanelStyle& style, Tail tail);

}  // namespace village

// Letters on the screen: a TrueType font that is found on the machine, at the sizes that the game needs.
#pragma once

#include <Ogre.h>
#include <OgreFont.h>

#include <string>
#include <string_view>

namespace village {

/// A font in one size.
class Lettering {
 public:
  /// `pixels`: the height of its letters.
  Lettering(const std::string& name, const std::string& file, float pixels);

  [[nodiscard]] const std::string& font() const noexcept { return name_; }
  /// Of a line, pixels; as a text area's character height it gives the letters as they were drawn, unscaled.
  [[nodiscard]] float height() const noexcept { return height_; }
  [[nodiscard]] float space() const noexcept { return space_; }
  [[nodiscard]] float width(char32_t letter) const;
  [[nodiscard]] float width(std::string_view text) const;
  /// The text with a question mark for each letter that the font was not loaded with.
  [[nodiscard]] std::string drawable(std::string_view text) const;

 private:
  std::string name_;
  Ogre::FontPtr font_;
  float height_ = 0;
  float space_ = 0;
};

struct Fonts {
  Lettering text;
  Lettering bold;
  Lettering small;
};

/// `file` if it is given; otherwise DejaVu Sans, or else any font, from where this system keeps its fonts. Throws
/// std::runtime_error where there is none. `scale`: 1 for a window that is 720 pixels high.
[[nodiscard]] Fonts load_fonts(const std::string& file, float scale);

}  // namespace village

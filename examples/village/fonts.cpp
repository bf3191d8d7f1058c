#include "fonts.hpp"

#include <OgreFontManager.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "words.hpp"

namespace village {
namespace {

namespace fs = std::filesystem;

/// Folders that hold fonts, as the XDG base directories say.
std::vector<fs::path> font_folders() {
  std::vector<fs::path> all;
  const auto variable = [](const char* name, const char* otherwise) {
    const char* const value = std::getenv(name);
    return std::string(value != nullptr && *value != '\0' ? value : otherwise);
  };
  const std::string home = variable("HOME", "");
  all.emplace_back(fs::path(variable("XDG_DATA_HOME", (home + "/.local/share").c_str())) / "fonts");
  std::istringstream folders(variable("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
  for (std::string each; std::getline(folders, each, ':');) all.emplace_back(fs::path(each) / "fonts");
  return all;
}

fs::path find_font() {
  fs::path any;
  for (const fs::path& folder : font_folders()) {
    std::error_code unreadable;
    for (fs::recursive_directory_iterator each(folder, unreadable), end; !unreadable && each != end;
         each.increment(unreadable)) {
      if (each->path().filename() == "DejaVuSans.ttf") return each->path();
      if (each->path().extension() == ".ttf" && any.empty()) any = each->path();
    }
  }
  if (any.empty())
    throw std::runtime_error("no TrueType font was found: install fonts-dejavu-core, or name one: --font FILE");
  return any;
}

}  // namespace

Lettering::Lettering(const std::string& name, const std::string& file, float pixels) : name_(name) {
  const fs::path path = fs::absolute(file);
  auto& groups = Ogre::ResourceGroupManager::getSingleton();
  if (!groups.resourceLocationExists(path.parent_path().string(), Ogre::RGN_DEFAULT)) {
    groups.addResourceLocation(path.parent_path().string(), "FileSystem", Ogre::RGN_DEFAULT);
  }
  font_ = Ogre::FontManager::getSingleton().create(name, Ogre::RGN_DEFAULT);
  font_->setType(Ogre::FT_TRUETYPE);
  font_->setSource(path.filename().string());
  font_->setTrueTypeSize(std::round(pixels));
  font_->setTrueTypeResolution(72);  // a point is a pixel
  using Range = Ogre::Font::CodePointRange;
  for (const Range& range :
       {Range(33, 126), Range(161, 255), Range(0x2013, 0x2014), Range(0x2018, 0x201D), Range(0x2026, 0x2026)}) {
    font_->addCodePointRange(range);
  }
  font_->load();
  const Ogre::TexturePtr texture =
      font_->getMaterial()->getTechnique(0)->getPass(0)->getTextureUnitState(0)->_getTexturePtr();
  height_ = std::round(font_->getGlyphTexCoords('M').height() * static_cast<float>(texture->getHeight()));
  space_ = std::round(0.3F * pixels);
}

float Lettering::width(char32_t letter) const {
  return letter == U' ' ? space_ : font_->getGlyphAspectRatio(letter) * height_;
}

float Lettering::width(std::string_view text) const {
  float all = 0;
  for (std::size_t at = 0; at < text.size();) all += width(letter(text, at));
  return all;
}

std::string Lettering::drawable(std::string_view text) const {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t each = letter(text, at);
    const bool known = each == U' ' || each == U'\n' || font_->getGlyphTexCoords(each).width() > 0;
    out += known ? text.substr(begin, at - begin) : "?";
  }
  return out;
}

Fonts load_fonts(const std::string& file, float scale) {
  const fs::path regular = file.empty() ? find_font() : fs::path(file);
  if (!fs::is_regular_file(regular)) throw std::runtime_error("there is no font " + regular.string());
  fs::path bold = regular.parent_path() / (regular.stem().string() + "-Bold.ttf");
  if (!fs::is_regular_file(bold)) bold = regular;
  return {Lettering("village/text", regular.string(), 15 * scale), Lettering("village/bold", bold.string(), 15 * scale),
          Lettering("village/small", regular.string(), 12 * scale)};
}

}  // namespace village

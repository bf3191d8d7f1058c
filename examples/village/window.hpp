// Ogre, opened: a window, a scene with the village in it, a camera that follows the player.
#pragma once

#include <OgreApplicationContext.h>

#include <memory>
#include <string>
#include <vector>

#include "bubbles.hpp"
#include "figures.hpp"
#include "fonts.hpp"
#include "hud.hpp"
#include "options.hpp"
#include "play.hpp"

namespace village {

class Window final : public OgreBites::ApplicationContext {
 public:
  explicit Window(const Options& options) : OgreBites::ApplicationContext("village"), options_(options) {}

  ~Window() override { close(); }

  /// Throws what Ogre throws where there is no display.
  void open();
  /// Calling it again does nothing.
  void close();
  /// Shows the play as it stands after its tick. False: the player closed the window.
  bool draw(const Play& play, const std::vector<double>& frames, const std::vector<double>& spent);
  /// The picture on the screen, as a PNG file.
  void save_picture(const std::string& path) { getRenderWindow()->writeContentsToFile(path); }
  [[nodiscard]] Hud& hud() noexcept { return *hud_; }

  bool windowClosing(Ogre::RenderWindow*) override { return !(closed_ = true); }

 private:
  void createRoot() override;
  bool oneTimeConfig() override;
  void locateResources() override;
  void setup() override;
  OgreBites::NativeWindowPair createWindow(const Ogre::String& name, Ogre::uint32 width, Ogre::uint32 height,
                                           Ogre::NameValuePairList parameters) override;
  void look(const Walker& player, bool at_once);
  [[nodiscard]] Ogre::Vector2 on_screen(const Ogre::Vector3& place) const;

  Options options_;
  std::unique_ptr<Ogre::LogManager> log_;
  Ogre::Camera* camera_ = nullptr;
  Ogre::SceneNode* eye_ = nullptr;
  std::unique_ptr<Fonts> fonts_;
  std::unique_ptr<Bubbles> bubbles_;
  std::unique_ptr<Hud> hud_;
  std::vector<Figure> figures_;
  bool opened_ = false;
  bool closed_ = false;
  std::int64_t drawn_ = -1;  // the tick that was drawn last
};

}  // namespace village

#include "window.hpp"

#include <OgreOverlaySystem.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "scenery.hpp"

namespace village {
namespace {

using V = Ogre::Vector3;

const V kEye(0, 6.6F, 12.6F);  // from the player to the camera, metres
const V kLooksAt(0, 1.6F, -3.5F);

V metres(const Walker& walker) {
  return {static_cast<float>(walker.at.x) / 1'000, 0, static_cast<float>(walker.at.z) / 1'000};
}

}  // namespace

void Window::open() {
  initApp();
  opened_ = true;
  if (getRoot()->getRenderSystem() == nullptr) throw std::runtime_error("Ogre's OpenGL renderer is missing");
}

void Window::close() {
  if (!std::exchange(opened_, false)) return;  // what Ogre could not begin, it cannot end either
  hud_.reset();
  bubbles_.reset();
  fonts_.reset();
  figures_.clear();
  closeApp();
}

void Window::createRoot() {
  // No file is written anywhere: no log, no configuration.
  log_ = std::make_unique<Ogre::LogManager>();
  log_->createLog("", true, false, true);
  mRoot = new Ogre::Root("", "", "");
  for (const char* plugin : {"RenderSystem_GL", "Codec_FreeImage"}) {
    mRoot->loadPlugin(std::string(OGRE_PLUGIN_DIR) + "/" + plugin);
  }
  mOverlaySystem = new Ogre::OverlaySystem();
}

bool Window::oneTimeConfig() {
  Ogre::RenderSystem* const gl = mRoot->getRenderSystemByName("OpenGL Rendering Subsystem");
  if (gl == nullptr) return false;
  gl->setConfigOption("Full Screen", "No");
  gl->setConfigOption("VSync", "No");  // the game keeps the time
  gl->setConfigOption("FSAA", options_.smooth > 1 ? std::to_string(options_.smooth) : "0");
  mRoot->setRenderSystem(gl);
  return true;
}

void Window::locateResources() {
  // Everything is made by code, but for the programs of Ogre's own that its shadows ask for.
  Ogre::ResourceGroupManager::getSingleton().addResourceLocation(std::string(OGRE_MEDIA_DIR) + "/ShadowVolume",
                                                                 "FileSystem", Ogre::RGN_INTERNAL);
}

OgreBites::NativeWindowPair Window::createWindow(const Ogre::String& name, Ogre::uint32, Ogre::uint32,
                                                 Ogre::NameValuePairList parameters) {
  return OgreBites::ApplicationContext::createWindow(name, options_.width, options_.height, parameters);
}

void Window::setup() {
  OgreBites::ApplicationContext::setup();
  Ogre::SceneManager* const scene = getRoot()->createSceneManager();
  scene->addRenderQueueListener(getOverlaySystem());
  build_scenery(*scene);
  figures_ = figures(*scene);

  eye_ = scene->getRootSceneNode()->createChildSceneNode();
  camera_ = scene->createCamera("eye");
  camera_->setNearClipDistance(0.5F);
  camera_->setFarClipDistance(400);
  camera_->setFOVy(Ogre::Degree(42));
  camera_->setAutoAspectRatio(true);
  eye_->attachObject(camera_);
  getRenderWindow()->addViewport(camera_)->setBackgroundColour(Ogre::ColourValue(0.62F, 0.79F, 0.93F));

  const float scale = static_cast<float>(getRenderWindow()->getHeight()) / 720;
  fonts_ = std::make_unique<Fonts>(load_fonts(options_.font, scale));
  bubbles_ = std::make_unique<Bubbles>(*fonts_, figures_.size(), scale);
  hud_ = std::make_unique<Hud>(*fonts_, scale);
}

void Window::look(const Walker& player, bool at_once) {
  const V wanted = metres(player) + kEye;
  eye_->setPosition(at_once ? wanted : eye_->getPosition() + (wanted - eye_->getPosition()) * 0.08F);
  const V eye = eye_->getPosition();
  eye_->lookAt(eye - kEye + kLooksAt, Ogre::Node::TS_WORLD);
}

Ogre::Vector2 Window::on_screen(const V& place) const {
  const V seen = camera_->getViewMatrix() * place;
  if (seen.z > -0.5F) return {-1e6F, -1e6F};  // behind
  const V flat = camera_->getProjectionMatrix() * seen;
  return {(flat.x + 1) / 2 * static_cast<float>(getRenderWindow()->getWidth()),
          (1 - flat.y) / 2 * static_cast<float>(getRenderWindow()->getHeight())};
}

bool Window::draw(const Play& play, const std::vector<double>& frames, const std::vector<double>& spent) {
  const World& world = play.world();
  const std::int64_t tick = play.tick();
  for (std::size_t i = 0; i < world.villagers().size(); ++i) figures_[i].follow(world.villagers()[i], tick);
  figures_.back().follow(world.player(), tick);
  look(world.player(), tick < drawn_ || drawn_ < 0);
  drawn_ = tick;

  const auto width = static_cast<float>(getRenderWindow()->getWidth());
  const auto height = static_cast<float>(getRenderWindow()->getHeight());
  bubbles_->clear(width, height, {hud_->wide() + 24, hud_->high() + 24});
  if (play.dialogue().player().visible(tick)) {
    bubbles_->show(figures_.size() - 1, "You", play.dialogue().player(), tick, on_screen(metres(world.player())));
  }
  // The most urgent keep their places.
  std::vector<std::size_t> order(world.villagers().size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return play.dialogue().speech(a).priority < play.dialogue().speech(b).priority;
  });
  for (const std::size_t i : order) {
    const Speech& speech = play.dialogue().speech(i);
    if (speech.visible(tick))
      bubbles_->show(i, world.villagers()[i].name, speech, tick, on_screen(figures_[i].above()));
  }
  hud_->show(play, frames, spent, width, height);
  return getRoot()->renderOneFrame(1.0F / static_cast<float>(kTicksPerSecond)) && !closed_;
}

}  // namespace village

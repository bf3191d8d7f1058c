// The command line.
#pragma once

#include <cstdint>
#include <string>

namespace village {

struct Options {
  bool headless = false;
  std::int64_t frames = 0;             ///< headless: how many; otherwise 0, until the window is closed
  std::string screenshots;             ///< folder; empty: none
  std::int64_t screenshot_every = 60;  ///< frames
  std::string record;                  ///< directory of a recording to make
  std::string replay;                  ///< directory of a recording to play
  std::string font;                    ///< a TrueType file; empty: one is looked for
  std::int64_t smooth = 4;             ///< samples of each pixel, so that edges are no stairs
  unsigned width = 1280;
  unsigned height = 720;
};

/// False: `message` says what is wrong, or is the help that was asked for.
[[nodiscard]] bool parse(int argc, char** argv, Options& options, std::string& message);

}  // namespace village

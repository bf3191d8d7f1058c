#include "options.hpp"

#include <cstdlib>
#include <map>
#include <variant>

namespace village {
namespace {

constexpr const char* kHelp =
    "village [options]\n"
    "  --headless             no keyboard, a tour through the village (needs a display all the same: xvfb-run)\n"
    "  --frames N             so many frames, each a sixtieth of a second of the village; 300 with --headless\n"
    "  --screenshots DIR      PNG pictures, one in every 60 frames\n"
    "  --screenshot-every N   frames between two of them\n"
    "  --record DIR           records the play\n"
    "  --replay DIR           plays a recording again, without a network\n"
    "  --size WxH             of the window; 1280x720\n"
    "  --smooth N             samples of each pixel, 4; fewer where there is no graphics card\n"
    "  --font FILE            a TrueType font; otherwise DejaVu Sans, or any other that is installed\n"
    "Keys: arrows or WASD walk, E asks the nearest villager, Enter lets you type, N pulls the network, R records, P "
    "replays,\n"
    "Esc ends.\n"
    "LLAMA_SERVER_URL=http://127.0.0.1:8080 lets a llama.cpp server speak; without one the offline templates do.\n";

}  // namespace

bool parse(int argc, char** argv, Options& options, std::string& message) {
  using Target = std::variant<std::string*, std::int64_t*>;
  std::string size;
  const std::map<std::string, Target> known{{"--frames", &options.frames},
                                            {"--screenshots", &options.screenshots},
                                            {"--screenshot-every", &options.screenshot_every},
                                            {"--record", &options.record},
                                            {"--replay", &options.replay},
                                            {"--size", &size},
                                            {"--smooth", &options.smooth},
                                            {"--font", &options.font}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--headless") {
      options.headless = true;
      continue;
    }
    const auto found = known.find(name);
    if (found == known.end() || i + 1 == argc) {
      message =
          (name == "--help" ? "" : name + (found == known.end() ? " is not known.\n" : " needs a value.\n")) + kHelp;
      return false;
    }
    const std::string value = argv[++i];
    if (std::holds_alternative<std::string*>(found->second)) {
      *std::get<std::string*>(found->second) = value;
      continue;
    }
    char* end = nullptr;
    const long number = std::strtol(value.c_str(), &end, 10);
    if (*end != '\0' || number < 1) {
      message = name + " must be a number from 1 on.\n";
      return false;
    }
    *std::get<std::int64_t*>(found->second) = number;
  }
  if (!size.empty()) {
    char* end = nullptr;
    options.width = static_cast<unsigned>(std::strtoul(size.c_str(), &end, 10));
    options.height = *end == 'x' ? static_cast<unsigned>(std::strtoul(end + 1, &end, 10)) : 0;
    if (options.width < 320 || options.height < 240 || options.width > 8'192 || options.height > 8'192 ||
        *end != '\0') {
      message = "--size must be as 1280x720, from 320x240 to 8192x8192.\n";
      return false;
    }
  }
  if (!options.record.empty() && !options.replay.empty()) {
    message = "--record and --replay exclude each other.\n";
    return false;
  }
  if (options.headless && options.frames == 0) options.frames = 300;
  return true;
}

}  // namespace village

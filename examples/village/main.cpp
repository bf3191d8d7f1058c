// A village in Ogre whose people speak: what they say comes from llmcore, frame by frame, and no frame waits for it.
//
//   village                                                   texts from templates, without a network
//   LLAMA_SERVER_URL=http://127.0.0.1:8080 village            a llama.cpp server speaks
//   xvfb-run -a village --headless --frames 300 --screenshots pictures
#include <cstdio>
#include <exception>
#include <string>

#include "game.hpp"
#include "options.hpp"

int main(int argc, char** argv) {
  village::Options options;
  std::string message;
  if (!village::parse(argc, argv, options, message)) {
    std::fputs(message.c_str(), stderr);
    return 2;
  }
  try {
    return village::Game(options).run();
  } catch (const std::exception& problem) {  // Ogre's own, too
    std::fprintf(stderr, "village: %s\n", problem.what());
    return 1;
  }
}

// The one place of llmcore::net that asks the system for the environment.
#include "llmcore/net/config_manager.hpp"

#if defined(_WIN32)
#include <stdlib.h>
#elif defined(__APPLE__)
#include <crt_externs.h>
#else
#include <unistd.h>
#endif

namespace llmcore::net {

ConfigManager::Environment ConfigManager::process_environment() {
#if defined(_WIN32)
  char** variable = _environ;
#elif defined(__APPLE__)
  char** variable = *_NSGetEnviron();
#else
  char** variable = environ;
#endif
  Environment all;
  for (; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view line = *variable;
    const std::size_t equals = line.find('=', 1);
    if (equals != std::string_view::npos) all.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return all;
}

}  // namespace llmcore::net

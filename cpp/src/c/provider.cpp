#include <string>

#include "guard.hpp"
#include "handles.hpp"

namespace llmcore::c {

bool add_provider(const llmcore_config& from, Client::Config& to, std::string& problem) {
  const std::string provider = text(from.provider);
  if (!provider.empty() && provider != "offline") {
    problem = "this library has no provider called " + provider;
    return false;
  }
  to.chain.push_back({"offline", text(from.model)});
  return true;
}

}  // namespace llmcore::c

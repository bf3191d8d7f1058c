#include "llmcore/version.hpp"

namespace llmcore {

std::string_view version() noexcept { return LLMCORE_VERSION; }

}  // namespace llmcore

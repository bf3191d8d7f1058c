// A JournalReader as Python has it: behind a lock, as one may be shared by threads.
#pragma once

#include <memory>

#include "llmcore/io/journal.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

using JournalReader = Locked<std::unique_ptr<io::JournalReader>>;

}  // namespace llmcore::bindings

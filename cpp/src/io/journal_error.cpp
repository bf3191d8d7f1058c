#include <string>

#include "llmcore/io/journal.hpp"

namespace llmcore::io {

std::string JournalError::message() const {
  switch (code) {
    case Code::none: return "no error";
    case Code::system: return file.message();
    case Code::full: return file.message() + "; the journal goes on by itself when there is room again";
    case Code::failed:
      return "the journal takes nothing since it failed (" + file.message() + "): recover() goes on in a new segment";
    case Code::too_long: return "the payload is longer than the journal takes: see max_record_bytes";
    case Code::locked:
      return "another writer has the journal (it holds the lock " + file.path + "): one directory, one writer";
    case Code::closed: return "the journal was closed: open it again to go on";
    case Code::forked:
      return "this journal belongs to the process that this one was forked from: open another directory here";
    case Code::newer_version: return "the journal " + what + " was written by a later version of llmcore";
    case Code::invalid: return what;
  }
  return "";
}

}  // namespace llmcore::io

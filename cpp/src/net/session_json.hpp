// What a session records of its calls, as JSON: so that a difference has a field, and `llmcore replay show` can be read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llmcore/net/client.hpp"

namespace llmcore::net {

[[nodiscard]] std::string session_submit(CallId call, const Client::Request& request);
[[nodiscard]] std::string session_events(const Client::Events& events);
/// The call that a submit was given; 0: this is none.
[[nodiscard]] CallId session_call(std::string_view submit);

/// Events with texts of their own.
struct SessionEvents {
  Client::Events events;
  std::vector<std::string> texts;
  /// False: this is no list of events.
  [[nodiscard]] bool read(std::string_view json);
};

/// The first field in which two JSON texts differ, as a path after `root`; an empty field: they are equal, or no JSON.
struct JsonDifference {
  std::string field;
  std::string expected;
  std::string got;
};
[[nodiscard]] JsonDifference json_difference(std::string_view root, std::string_view expected, std::string_view got);

}  // namespace llmcore::net

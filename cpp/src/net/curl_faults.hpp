// What libcurl's codes mean to a call.
#pragma once

#include <curl/curl.h>

#include <string>
#include <string_view>

#include "llmcore/net/transport.hpp"

namespace llmcore::net {

/// Host and port of a URL: all that is ever shown of it.
[[nodiscard]] std::string address_of(std::string_view url);
/// The error that a transfer to `url` ended in. `begun`: a part of the answer had come.
[[nodiscard]] TransportError fault_of(CURLcode code, std::string_view url, bool begun);

}  // namespace llmcore::net

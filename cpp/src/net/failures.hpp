// What a refusal means: error bodies of every shape that OpenAI-compatible servers send, read into one Failure.
//
// The status says how bad it is, the provider's code what it is about, and where there is no code a few known phrases
// must do. Nothing that looks like a key passes into a message. Pure.
#pragma once

#include <string>
#include <string_view>

#include "json.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// What every reading of an answer needs beside its bytes.
struct Reading {
  const Headers& headers;
  std::string_view key;  ///< ours, to be kept out of what is shown
  WallTime now = 0;      ///< for a Retry-After that is a date
};

/// A Failure of our own.
[[nodiscard]] Failure failure(Outcome outcome, std::string message, int status = 0);
/// The Failure that an answer with an error status is, or one that should have been an answer.
[[nodiscard]] Failure failure_of(int status, const Reading& reading, std::string_view body);
/// The same, of an error that is parsed already; `text` is what to say when it says nothing.
[[nodiscard]] Failure failure_of_error(int status, const Reading& reading, Json error, std::string_view text);
/// `text` in one line of at most 500 printable characters, without `key` or anything that looks like one.
[[nodiscard]] std::string redacted(std::string_view text, std::string_view key);

}  // namespace llmcore::net

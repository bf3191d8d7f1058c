// What goes to a provider and what comes back, for a recording: without headers of requests, and with the key masked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llmcore/io/replay.hpp"
#include "llmcore/net/transport.hpp"

namespace llmcore::net {

class ClientRecording {
 public:
  explicit ClientRecording(std::shared_ptr<io::ReplayLogger> log) : log_(std::move(log)) {}

  [[nodiscard]] bool on() const noexcept { return log_ != nullptr; }
  [[nodiscard]] io::ReplayLogger* log() const noexcept { return log_.get(); }

  void request(CallId call, AttemptId attempt, std::string_view provider, const HttpRequest& request);
  void head(AttemptId attempt, int status, const Headers& headers);
  void data(AttemptId attempt, std::string_view bytes);
  void done(AttemptId attempt, const std::optional<TransportError>& error);

 private:
  struct Open {
    recorded::Response response;
    std::vector<std::string> secrets;
  };

  std::shared_ptr<io::ReplayLogger> log_;
  std::unordered_map<AttemptId, Open> open_;
};

}  // namespace llmcore::net

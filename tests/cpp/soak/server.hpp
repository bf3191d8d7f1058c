// A model that streams, and that fails as it is told in the question: a process of its own, which can be killed and stopped.
#pragma once

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/io/clock.hpp"
#include "net/loopback_server.hpp"
#include "net/model_server.hpp"

namespace llmcore::soak {

/// What a question may ask for in square brackets.
inline constexpr std::array<std::string_view, 5> kFaults{"[stall]", "[cut]", "[garbage]", "[500]", "[429]"};
inline constexpr int kTokens = 40;

/// Serves for ever: `kTokens` tokens for each question, one each `between`. Says its port on standard output.
[[noreturn]] inline void serve(const char* host, std::uint16_t port, Duration between) {
  struct Connection {
    net::Peer peer;
    int left = 0;  // tokens of the answer that runs
    bool cut = false;
    Instant next = 0;
  };
  net::LoopbackServer server(port, host);
  std::printf("%d\n", server.port());
  std::fflush(stdout);
  std::vector<Connection> all;
  std::vector<pollfd> polled;
  for (;;) {
    polled.assign(1, {server.fd(), POLLIN, 0});
    for (const Connection& one : all) polled.push_back({one.peer.fd(), POLLIN, 0});
    ::poll(polled.data(), polled.size(), 1);
    while (net::Peer peer = server.accept()) all.push_back({std::move(peer)});
    const Instant now = io::mono();
    std::erase_if(all, [&](Connection& one) {
      if (one.peer.sees_end()) return true;
      while (one.left > 0 && one.next <= now) {
        one.next += between;
        if (one.cut && one.left == kTokens / 2) {
          one.peer.reset();
          return true;
        }
        one.peer.send(--one.left == 0 ? net::stream_ends() : net::stream_goes_on(" word"));
      }
      if (one.left != 0 || !one.peer.reads_request()) return false;
      const std::string asked = one.peer.take();
      const auto wants = [&](std::string_view fault) { return asked.find(fault) != std::string::npos; };
      if (wants("[garbage]")) {
        one.peer.send("SSH-2.0-OpenSSH_9.2\r\n");
        one.peer.close();
        return true;
      }
      if (wants("[500]")) {
        one.peer.answer(R"({"error":{"message":"down","type":"server_error"}})", "", 500);
      } else if (wants("[429]")) {
        one.peer.answer(R"({"error":{"message":"slow down","type":"requests"}})", "Retry-After-Ms: 20\r\n", 429);
      } else if (!wants("[stall]")) {
        one.cut = wants("[cut]");
        one.left = kTokens;
        one.next = now + between;
        one.peer.send(net::stream_begins("A"));
      }
      return false;
    });
  }
}

}  // namespace llmcore::soak

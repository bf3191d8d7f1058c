// What a game engine would write: one call, limited and paid for by the engine, performed by the host.
#include <cstdio>
#include <llmcore/engine.hpp>
#include <llmcore/io/clock.hpp>
#include <llmcore/io/uuid7.hpp>
#include <llmcore/version.hpp>
#include <string>
#include <utility>
#include <variant>

int main() {
  const std::string expected = EXPECTED_VERSION;
  if (llmcore::version() != expected) {
    std::puts("the library is of another version than the package");
    return 1;
  }

  llmcore::Engine engine(llmcore::Config::game());
  llmcore::Now now = llmcore::io::now();
  llmcore::Submit call;
  call.targets.push_back({});
  call.targets.back().provider = "offline";
  call.targets.back().model = "template";
  call.targets.back().input_tokens = 10;
  call.targets.back().output_tokens = 20;
  engine.submit(std::move(call), now);

  bool answered = false;
  while (auto action = engine.poll()) {
    if (const auto* send = std::get_if<llmcore::Send>(&*action)) {
      llmcore::Replied reply;
      reply.attempt = send->attempt;
      reply.usage.input_uncached = 10;
      reply.usage.output_text = 20;
      now.mono += llmcore::kMillisecond;
      engine.handle(reply, now);
    } else if (const auto* finish = std::get_if<llmcore::Finish>(&*action)) {
      answered = finish->outcome == llmcore::Outcome::ok && finish->source == llmcore::Source::provider;
    }
  }
  if (!answered || llmcore::io::uuid7(now.wall).size() != 36) {
    std::puts("the call was not answered");
    return 1;
  }
  return 0;
}

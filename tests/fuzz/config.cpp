// Any configuration: either it has problems, all of them in words, and no engine is made of it; or it has none, and the engine that is
// made of it works.
#include "llmcore/config.hpp"

#include <stdexcept>
#include <string>
#include <variant>

#include "bytes.hpp"
#include "drawn.hpp"
#include "watched_engine.hpp"

using llmcore::fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  llmcore::fuzz::Bytes bytes(data, size);
  const llmcore::Config config = llmcore::fuzz::any_config(bytes);
  const std::vector<std::string> problems = config.problems();
  for (const std::string& problem : problems) require(problem.size() > 10, "a problem is told in words");
  try {
    llmcore::testing::WatchedEngine engine(config);
    require(problems.empty(), "an engine was made of a configuration with problems");
    llmcore::Now now{bytes.number() / 4, bytes.number()};
    for (int i = 0; i < 4; ++i) {
      engine.submit(llmcore::fuzz::any_submit(bytes), now);
      engine.handle(llmcore::Tick{}, now);
      now.mono = llmcore::add_saturated(now.mono, bytes.byte());
    }
    require(engine.broken().empty(), engine.broken());
  } catch (const std::invalid_argument& error) {
    require(!problems.empty(), "a configuration without problems was refused");
    for (const std::string& problem : problems) {
      require(std::string_view(error.what()).find(problem) != std::string_view::npos, "every problem is named");
    }
  }
  return 0;
}

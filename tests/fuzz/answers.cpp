// Answers of any bytes: the JSON reader against nlohmann-json, every decoder, and every stream cut in two ways.
//
// The first byte says which provider and which status, the second which of the other providers instead, and where streams
// are cut.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bytes.hpp"
#include "llmcore/net/config_manager.hpp"
#include "llmcore/net/providers.hpp"
#include "net/json.hpp"

namespace {

using llmcore::fuzz::require;
namespace net = llmcore::net;

constexpr const char* kKey = "golden-key-000111222333";

net::HttpOptions options(const char* base_url) {
  net::HttpOptions made;
  made.api_key = kKey;
  made.base_url = base_url;
  made.now = [] { return llmcore::WallTime{0}; };
  return made;
}

/// Both bytes have a say, so that inputs from before the later ones were known mean what they meant.
const net::Provider& provider(unsigned which, unsigned of_the_others) {
  static const net::OpenAIProvider openai(options(""));
  static const net::AnthropicProvider anthropic(options(""));
  static const net::OpenAIProvider gemini(options(""), *net::host_of("gemini"));
  static const net::OfflineProvider offline;
  static const net::OpenAIResponsesProvider responses(options(""));
  static const net::OllamaProvider ollama(options("http://127.0.0.1:11434/api"));
  static const net::AzureOpenAIProvider azure(options("https://name.openai.azure.com"));
  switch (of_the_others) {
    case 1: return responses;
    case 2: return ollama;
    case 3: return azure;
    default: break;
  }
  switch (which % 4) {
    case 0: return openai;
    case 1: return anthropic;
    case 2: return gemini;
    default: return offline;
  }
}

bool same(const net::Reply& a, const net::Reply& b) {
  return a.content == b.content && a.model == b.model && a.usage == b.usage && a.finish_reason == b.finish_reason &&
         a.tool_calls == b.tool_calls && a.reasoning == b.reasoning && a.refusal == b.refusal &&
         a.citations == b.citations && a.created == b.created;
}

bool same(const net::Decoded& a, const net::Decoded& b) {
  if (a.index() != b.index()) return false;
  if (const auto* reply = std::get_if<net::Reply>(&a)) return same(*reply, std::get<net::Reply>(b));
  const auto& one = std::get<net::Failure>(a);
  const auto& other = std::get<net::Failure>(b);
  return one.outcome == other.outcome && one.message == other.message && !one.partial == !other.partial &&
         (!one.partial || same(*one.partial, *other.partial));
}

void check(const net::Decoded& said, bool has_key) {
  if (const auto* failure = std::get_if<net::Failure>(&said)) {
    require(!failure->message.empty(), "a failure says something");
    require(!has_key || failure->message.find(kKey) == std::string::npos, "a failure shows no key");
    require(failure->outcome != llmcore::Outcome::ok, "a failure is none that went well");
    require(failure->retry_after >= 0, "no wait is negative");
    require(!failure->partial || failure->partial->usage.valid(), "usage is valid");
  } else {
    require(std::get<net::Reply>(said).usage.valid(), "usage is valid");
  }
}

void read_json(std::string_view text) {
  const auto parsed = net::Json::parse(text);
  if (text.find("[[[[[[[[[[[[[[[[[[[[[[[[") == std::string_view::npos && text.size() < 4096) {
    // A byte order mark is no JSON, and a zero is not its end, though nlohmann-json takes them so.
    const bool marked = text.starts_with("\xEF\xBB\xBF") || text.find('\0') != std::string_view::npos;
    require(marked || parsed.has_value() == nlohmann::json::accept(text), "JSON is what everybody takes for it");
  }
  std::string repaired;
  const auto lenient = net::parse_leniently(text, repaired);
  require(!parsed || lenient, "what is JSON needs no leniency");
  if (!lenient) return;
  std::string sorted, again;
  append_sorted(sorted, *lenient);
  const auto reread = net::Json::parse(sorted);
  require(reread.has_value(), "what is written is JSON");
  append_sorted(again, *reread);
  require(again == sorted, "there is one sorted form");
  (void)lenient->members();
  (void)lenient->text();
  (void)lenient->whole();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const net::Provider& by = provider(data[0], data[1] / 64);
  const std::string_view body(reinterpret_cast<const char*>(data) + 2, size - 2);
  constexpr int kStatus[] = {200, 200, 400, 429, 500, 529, 301};
  const net::Headers headers{{"retry-after", std::string(body.substr(0, 40))},
                             {"x-request-id", std::string(body.substr(0, 9))}};
  read_json(body);
  check(by.decode(kStatus[data[0] / 4 % 7], headers, body), !by.local());
  (void)by.observe(
      {{"x-ratelimit-remaining-requests", "1"}, {"x-ratelimit-reset-requests", std::string(body.substr(0, 30))}});

  std::vector<net::Chunk> whole, pieces;
  const auto at_once = by.stream_decoder(headers);
  at_once->feed(body, whole);
  const auto in_pieces = by.stream_decoder(headers);
  const std::size_t step = 1 + data[1] % 64;
  for (std::size_t at = 0; at < body.size(); at += step) in_pieces->feed(body.substr(at, step), pieces);
  require(whole == pieces, "no cut changes the chunks");
  const net::Decoded said = at_once->finish();
  check(said, !by.local());
  require(same(said, in_pieces->finish()), "no cut changes the end");
  require(same(said, at_once->finish()), "asked again, it says the same");

  if (size < 4096) {
    net::ConfigManager config;
    config.add_json(body, "f.json");
    config.add_environment(
        {{"LLMCORE_BUDGETS", std::string(body)}, {"LLMCORE_RETRY__BASE_DELAY", std::string(body.substr(0, 30))}});
    (void)config.problems();
    net::ConfigManager again;
    again.add_json(config.save(), "g.json");
    require(again.save() == config.save(), "what is saved is read as it was");
    net::ChatRequest request;
    request.model = "m";
    request.messages_json = body;
    const auto encoded = by.encode(request);
    if (const auto* sent = std::get_if<net::HttpRequest>(&encoded)) {
      require(net::Json::parse(sent->body).has_value(), "what is sent is JSON");
    }
  }
  return 0;
}

// Providers by name, and from a configuration to a client.
#include "llmcore/net/provider_factory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmcore/io/clock.hpp"
#include "llmcore/net/client_setup.hpp"
#include "llmcore/net/curl_transport.hpp"
#include "llmcore/net/providers.hpp"
#include "loopback_server.hpp"

namespace llmcore::net {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Named final : public Provider {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::string_view default_model() const noexcept override { return "m"; }
  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest&) const override { return Failure{}; }
  [[nodiscard]] Decoded decode(int, const Headers&, std::string_view) const override { return Failure{}; }
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers&) const override { return nullptr; }

 private:
  std::string name_;
};

TEST(ProviderFactory, TypesAndTheirNamesAreTurnedIntoEachOther) {
  for (const ProviderType type :
       {ProviderType::openai, ProviderType::anthropic, ProviderType::local_llama, ProviderType::offline,
        ProviderType::openai_responses, ProviderType::azure, ProviderType::ollama}) {
    EXPECT_EQ(provider_type_of(to_string(type)), type);
  }
  EXPECT_EQ(provider_type_of("Local_Llama"), ProviderType::local_llama);
  EXPECT_EQ(provider_type_of(" OPENAI "), ProviderType::openai);
  EXPECT_EQ(provider_type_of("groq"), ProviderType::openai);
  EXPECT_EQ(provider_type_of("no-such"), std::nullopt);
}

TEST(ProviderFactory, MakesEveryProviderThatIsBuiltIn) {
  const ProviderFactory factory;
  Settings settings;
  std::string problem;
  for (const std::string& name : factory.known()) {
    const auto made = factory.create(name, settings, problem);
    ASSERT_NE(made, nullptr) << problem;
    EXPECT_EQ(made->name(), name);
    EXPECT_EQ(made->local(), name == "offline");
  }
  EXPECT_EQ(factory.create(ProviderType::local_llama, settings, problem)->name(), "llama");
  settings.providers["openai"] = {"sk-1", "https://llm.example.com/v1"};
  const auto made = factory.create("openai", settings, problem);
  ChatRequest request;
  request.model = "m";
  request.messages = {ChatRequest::Message{ConversationMemory::Role::user, "Hi", {}, {}}};
  EXPECT_EQ(std::get<HttpRequest>(made->encode(request)).url, "https://llm.example.com/v1/chat/completions");
}

TEST(ProviderFactory, ReachesEveryKindAsItsSettingsSay) {
  const ProviderFactory factory;
  Settings settings;
  settings.providers["openai"].api_key = "sk-1";
  settings.providers["azure"].api_key = "az-1";
  settings.providers["azure"].base_url = "https://name.openai.azure.com";
  settings.providers["azure"].api_version = "2025-01-01-preview";
  settings.providers["ollama"].base_url = "http://127.0.0.1:11434/api";
  ChatRequest request;
  request.model = "m";
  request.messages = {ChatRequest::Message{ConversationMemory::Role::user, "Hi", {}, {}}};
  std::string problem;
  const auto url_of = [&](ProviderType type) {
    const auto made = factory.create(type, settings, problem);
    const auto sent = made->encode(request);
    const auto* http = std::get_if<HttpRequest>(&sent);
    return http != nullptr ? http->url : std::get<Failure>(sent).message;
  };
  EXPECT_EQ(url_of(ProviderType::openai_responses), "https://api.openai.com/v1/responses") << "with openai's key";
  EXPECT_EQ(url_of(ProviderType::azure),
            "https://name.openai.azure.com/openai/deployments/m/chat/completions?api-version=2025-01-01-preview");
  EXPECT_EQ(url_of(ProviderType::ollama), "http://127.0.0.1:11434/api/chat");
  settings.providers["azure"].base_url = "";
  EXPECT_EQ(url_of(ProviderType::azure), "azure has no address: set AZURE_OPENAI_ENDPOINT, or its base_url");
}

TEST(ProviderFactory, SaysWhichNamesThereAreAndWhatIsWrong) {
  const ProviderFactory factory;
  std::string problem;
  EXPECT_EQ(factory.create("opnai", {}, problem), nullptr);
  EXPECT_THAT(problem, HasSubstr("there is no provider 'opnai'; known are anthropic, azure, cerebras, "));
  Settings settings;
  settings.providers["openai"] = {"sk secret", ""};
  EXPECT_EQ(factory.create("openai", settings, problem), nullptr);
  EXPECT_THAT(problem, HasSubstr("the key of openai is not as a provider gives it"));
}

TEST(ProviderFactory, TakesProvidersOfOnesOwn) {
  ProviderFactory factory;
  std::string problem;
  EXPECT_EQ(factory.add("My_Own", [](const Settings&, std::string&) { return std::make_shared<Named>("my-own"); }), "");
  EXPECT_EQ(factory.create("my-own", {}, problem)->name(), "my-own");
  EXPECT_THAT(factory.known(), Contains("my-own"));
  EXPECT_EQ(factory.add("openai", [](const Settings&, std::string&) { return std::make_shared<Named>("openai"); }), "");
  EXPECT_EQ(factory.create("openai", {}, problem)->default_model(), "m") << "a built-in name is taken over";
  EXPECT_EQ(factory.add("liar", [](const Settings&, std::string&) { return std::make_shared<Named>("other"); }), "");
  EXPECT_EQ(factory.create("liar", {}, problem), nullptr);
  EXPECT_EQ(problem, "what was added as 'liar' made no provider of that name");
  EXPECT_EQ(factory.add("sick",
                        [](const Settings&, std::string& why) -> std::shared_ptr<Provider> {
                          why = "not today";
                          return nullptr;
                        }),
            "");
  EXPECT_EQ(factory.create("sick", {}, problem), nullptr);
  EXPECT_EQ(problem, "not today");
  EXPECT_NE(factory.add("a/b", [](const Settings&, std::string&) { return nullptr; }), "");
  EXPECT_NE(factory.add("", [](const Settings&, std::string&) { return nullptr; }), "");
}

TEST(ClientSetup, AConfigurationBecomesAClientThatTalks) {
  LoopbackServer server;
  ConfigManager config;
  config.add_environment({{"LLAMA_SERVER_URL", "http://" + server.address()}, {"LLM_MODEL", "tiny"}});
  std::vector<std::string> problems;
  Client::Config setup = client_config_of(config.settings(), ProviderFactory(), {"offline", "nobody/x"}, problems);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0], HasSubstr("there is no provider 'nobody'"));
  CurlOptions direct;
  direct.proxy = "";
  setup.transport = std::make_shared<CurlTransport>(direct);
  setup.worker_thread = false;
  Client client(std::move(setup));

  Client::Request request;
  request.messages = {Client::Message{Client::Role::user, "Hi", {}, {}}};
  const CallId call = client.submit(request);
  Peer peer;
  Client::Events events;
  std::string streamed, answer;
  bool replied = false;
  const Instant end = io::mono() + 5 * kSecond;
  while (answer.empty() && io::mono() < end) {
    client.pump(kMillisecond);
    client.poll(events);
    for (const Client::Event& event : events) {
      if (event.kind == Client::Event::Kind::token) streamed += event.text;
      if (event.kind == Client::Event::Kind::finished) {
        EXPECT_EQ(event.call, call);
        EXPECT_EQ(event.provider, "llama");
        EXPECT_EQ(event.input_tokens, 9);
        answer = event.text;
      }
      ASSERT_NE(event.kind, Client::Event::Kind::failed) << event.error;
    }
    if (!peer) peer = server.accept();
    if (peer && !replied && peer.reads_request()) {
      EXPECT_THAT(peer.take(), HasSubstr(R"("model":"tiny")"));
      peer.answer(
          "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n"
          "data: {\"choices\":[{\"delta\":{\"content\":\"lo.\"},\"finish_reason\":\"stop\"}],"
          "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
          "Content-Type: text/event-stream\r\n");
      replied = true;
    }
  }
  EXPECT_EQ(streamed, "Hello.");
  EXPECT_EQ(answer, "Hello.");
}

}  // namespace
}  // namespace llmcore::net

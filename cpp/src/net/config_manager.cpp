#include "llmcore/net/config_manager.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "../text.hpp"
#include "answer_headers.hpp"
#include "config_fields.hpp"
#include "failures.hpp"
#include "json.hpp"
#include "llmcore/io/file.hpp"
#include "llmcore/net/hosts.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;
using Path = ConfigManager::Path;

constexpr std::string_view kPrefix = "LLMCORE_";
constexpr std::string_view kFileVariable = "LLMCORE_CONFIG";
constexpr int kOfFile = 1, kOfEnvironment = 2, kOfHand = 3;

/// Settings with a name of their own beside the sections, in files.
std::string_view long_name(std::string_view name) noexcept {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kShort{{
      {"openai_api_key", "providers.openai.api_key"},
      {"openai_base_url", "providers.openai.base_url"},
      {"anthropic_api_key", "providers.anthropic.api_key"},
      {"anthropic_base_url", "providers.anthropic.base_url"},
      {"llama_server_url", "providers.llama.base_url"},
  }};
  for (const auto& [shorter, longer] : kShort) {
    if (name == shorter) return longer;
  }
  return name;
}

Path split(std::string_view name, std::string_view by) {
  Path path;
  for (;;) {
    const std::size_t end = name.find(by);
    path.emplace_back(name.substr(0, end));
    if (end == std::string_view::npos) return path;
    name.remove_prefix(end + by.size());
  }
}

/// Names of providers and models in lower case, and "_" in a provider's is "-".
Path tidied(Path path) {
  const std::size_t at = path[0] == "providers"                                             ? 1
                         : path.size() > 2 && path[0] == "limits" && path[1] == "providers" ? 2
                                                                                            : 0;
  if (at != 0 && path.size() > at) {
    path[at] = lowered(trimmed(path[at]));
    std::replace(path[at].begin(), path[at].end(), '_', '-');
  } else if (path[0] == "prices" && path.size() > 1) {
    path[1] = lowered(path[1]);
  }
  return path;
}

/// Whether what is below is one value, however it is nested.
bool is_leaf(const Path& path, Json value) noexcept {
  if (!value.is(Kind::object) || path.empty()) return !path.empty();
  return path[0] == "budgets" || path[0] == "content" || (path[0] == "prices" && path.size() == 2);
}

std::optional<std::string> file_text(const std::string& path) {
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) return std::nullopt;
  constexpr std::size_t kMost = std::size_t{16} << 20;
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() < kMost) {
    const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get());
    text.append(buffer.data(), got);
    if (got < buffer.size()) break;
  }
  if (std::ferror(file.get()) != 0) return std::nullopt;
  return text;
}

struct Node {
  std::string value;  // JSON
  std::map<std::string, Node, std::less<>> inner;
};

void write(JsonWriter& json, const Node& node) {
  if (node.inner.empty()) {
    json.raw(node.value.empty() ? std::string_view("{}") : std::string_view(node.value));
    return;
  }
  json.open('{');
  for (const auto& [name, inner] : node.inner) {
    json.name(name);
    write(json, inner);
  }
  json.close('}');
}

}  // namespace

ProviderSettings Settings::provider_settings(std::string_view name) const {
  auto found = providers.find(name);
  if (found == providers.end() && name == "openai-responses") found = providers.find("openai");
  return found == providers.end() ? ProviderSettings{} : found->second;
}

ConfigManager ConfigManager::load(const Environment& environment, std::string_view file) {
  ConfigManager config;
  std::string path(file);
  if (path.empty()) {
    const auto named = environment.find(kFileVariable);
    if (named != environment.end()) path = trimmed(named->second);
  }
  if (!path.empty()) {
    config.add_file(path);
  } else if (const auto text = file_text("llmcore.json")) {
    config.add_json(*text, "llmcore.json");
  }
  config.add_environment(environment);
  return config;
}

void ConfigManager::put(Path path, Said said) {
  path = tidied(std::move(path));
  const auto [place, fresh] = said_.try_emplace(std::move(path));
  if (fresh || said.rank >= place->second.rank) place->second = std::move(said);
}

void ConfigManager::add_environment(const Environment& environment) {
  const auto take = [this](Path path, const std::string& name, const std::string& value) {
    const std::string text(trimmed(value));
    if (text.empty()) return;
    const bool json = (text.front() == '{' || text.front() == '[') && path.back() != "api_key";
    if (json && !Json::parse(text)) {
      unreadable_.push_back(name + " is not valid JSON");
    } else if (json && text.front() == '{' && !is_leaf(path, Json(text))) {
      put_all(path, text, name + ": ", kOfEnvironment);  // a whole section
    } else {
      put(std::move(path), {text, !json, name, kOfEnvironment});
    }
  };
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(kPrefix) || name == kFileVariable || name == "LLMCORE_DATABASE_URL") continue;
    Path path = split(lowered(std::string_view(name).substr(kPrefix.size())), "__");
    // Without a section it may be someone else's: taken up only if it is a setting, or looks like one misspelt.
    if (path.size() == 1 && !is_section(path[0]) && nearest_section(path[0]).empty()) continue;
    take(std::move(path), name, value);
  }
  const auto named = [&](std::string_view name, Path path) {
    const auto found = environment.find(name);
    if (!name.empty() && found != environment.end()) take(std::move(path), found->first, found->second);
  };
  named("LLM_PROVIDER", {"provider"});
  named("LLM_MODEL", {"model"});
  named("AZURE_OPENAI_API_VERSION", {"providers", "azure", "api_version"});
  for (const Host& host : hosts()) {
    if (host.protocol == Protocol::responses) continue;  // its variables are openai's, whose settings it shares
    named(host.key_variable, {"providers", std::string(host.name), "api_key"});
    named(host.url_variable, {"providers", std::string(host.name), "base_url"});
  }
}

void ConfigManager::add_file(std::string_view path) {
  const std::string name(path);
  if (!name.ends_with(".json")) {
    unreadable_.push_back(name + " is no .json file, which is what a configuration in C++ is");
  } else if (const auto text = file_text(name)) {
    add_json(*text, name);
  } else {
    unreadable_.push_back(name + " cannot be read");
  }
}

void ConfigManager::add_json(std::string_view text, std::string_view name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const auto parsed = Json::parse(text);
  if (!parsed || !parsed->is(Kind::object)) {
    unreadable_.push_back(std::string(name) + (parsed ? " must hold one JSON object" : " is not valid JSON"));
    return;
  }
  put_all({}, parsed->raw(), std::string(name) + ": ", kOfFile);
}

void ConfigManager::put_all(const Path& path, std::string_view json, const std::string& prefix, int rank) {
  const Json value(json);
  if (is_leaf(path, value)) {
    if (!value.is(Kind::null)) put(path, {std::string(json), false, prefix + dotted(path), rank});
    return;
  }
  value.each_member([&](std::string_view member, Json inner) {
    Path below = path.empty() ? split(long_name(member), ".") : path;
    if (!path.empty()) below.emplace_back(member);
    put_all(below, inner.raw(), prefix, rank);
    return true;
  });
}

void ConfigManager::set(std::string_view setting, std::string_view value) {
  put(split(long_name(setting), "."), {std::string(value), true, std::string(setting), kOfHand});
}

void ConfigManager::merge(const ConfigManager& other) {
  for (const auto& [path, said] : other.said_) said_[path] = said;
  unreadable_.insert(unreadable_.end(), other.unreadable_.begin(), other.unreadable_.end());
}

std::vector<std::string> ConfigManager::problems() const {
  SettingsReader reader(said_);
  (void)reader.read();
  std::vector<std::string> all = unreadable_;
  all.insert(all.end(), reader.problems().begin(), reader.problems().end());
  return all;
}

Settings ConfigManager::settings() const { return SettingsReader(said_).read(); }

std::string ConfigManager::save() const {
  SettingsReader reader(said_);
  (void)reader.read();
  Node root;
  for (const auto& [path, said] : said_) {
    if (path.back() == "api_key" || path.front() == "ledger") continue;  // a database's URL may hold a password
    // What is wrong may be a key in the wrong place; and what is right may look like one.
    if (reader.refused(said) || redacted(said.text, {}) != said.text) continue;
    Node* node = &root;
    for (const std::string& part : path) node = &node->inner[part];
    const Json json = said.plain ? Json() : Json(said.text);
    std::string text = said.plain ? said.text : json.text();
    if (!said.plain && !json.is(Kind::string)) {
      append_compact(node->value, json);
      continue;
    }
    if (path.back() == "base_url") text = text.substr(0, text.find('?'));
    std::string utf8;
    append_as_utf8(utf8, text);
    JsonWriter(node->value).text(utf8);
  }
  std::string out;
  JsonWriter json(out);
  write(json, root);
  return out + "\n";
}

std::string ConfigManager::save_file(std::string_view path) const {
  const std::string target(path);
  const std::string beside = target + ".new";
  const std::string text = save();
  std::FILE* const file = std::fopen(beside.c_str(), "wb");
  if (file == nullptr) return target + " cannot be written";
  bool whole = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  whole = std::fclose(file) == 0 && whole;
  if (whole && !io::system_files().rename(beside, target)) return {};
  (void)std::remove(beside.c_str());
  return target + " cannot be written";
}

}  // namespace llmcore::net

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "answer_headers.hpp"
#include "failures.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/net/providers.hpp"
#include "llmcore/version.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

bool is_visible(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

struct Split {
  std::string scheme, authority, host, path, query;
  bool usable = false;
};

/// The parts of a URL that leads to an API: http or https, no user name, no fragment.
Split split(std::string_view url) {
  Split parts;
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos || !is_visible(url) || url.find('#') != std::string_view::npos) return parts;
  parts.scheme = lowered(url.substr(0, colon));
  url.remove_prefix(colon + 3);
  const std::size_t end = std::min(url.find_first_of("/?"), url.size());
  parts.authority = url.substr(0, end);
  url.remove_prefix(end);
  const std::size_t mark = std::min(url.find('?'), url.size());
  parts.path = url.substr(0, mark);
  parts.query = url.substr(std::min(mark + 1, url.size()));
  std::string_view rest = parts.authority;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return parts;
    parts.host = lowered(rest.substr(1, close - 1));
    rest.remove_prefix(close + 1);
  } else {
    const std::size_t stop = std::min(rest.find(':'), rest.size());
    parts.host = lowered(rest.substr(0, stop));
    rest.remove_prefix(stop);
  }
  int port = 1;
  if (rest.size() > 1) {
    const auto read = std::from_chars(rest.data() + 1, rest.data() + rest.size(), port);
    if (rest.front() != ':' || read.ec != std::errc() || read.ptr != rest.data() + rest.size()) port = 0;
  } else if (!rest.empty() && rest != ":") {
    port = 0;
  }
  const bool known = parts.scheme == "http" || parts.scheme == "https";
  const bool plain = parts.authority.find_first_of("@\\<>\"") == std::string::npos;
  parts.usable = known && plain && !parts.host.empty() && port > 0 && port < 65'536;
  return parts;
}

/// Whether it is this machine or one of a private network, where servers often want no key.
bool is_near(std::string_view host) noexcept {
  std::array<int, 4> bytes{};
  std::size_t count = 0;
  std::string_view rest = host;
  while (count < bytes.size()) {
    const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), bytes[count]);
    if (read.ec != std::errc() || bytes[count] < 0 || bytes[count] > 255) break;
    ++count;
    rest.remove_prefix(static_cast<std::size_t>(read.ptr - rest.data()));
    if (count < bytes.size()) {
      if (!rest.starts_with('.')) break;
      rest.remove_prefix(1);
    }
  }
  if (count == bytes.size() && rest.empty()) {
    const int first = bytes[0];
    const int second = bytes[1];
    return first == 127 || first == 10 || first == 0 || (first == 192 && second == 168) ||
           (first == 172 && second >= 16 && second < 32) || (first == 169 && second == 254);
  }
  if (host.find(':') != std::string_view::npos) {
    return host == "::1" || host == "::" || host.starts_with("fc") || host.starts_with("fd") ||
           host.starts_with("fe8") || host.starts_with("fe9") || host.starts_with("fea") || host.starts_with("feb");
  }
  return host.find('.') == std::string_view::npos || host.ends_with(".localhost") || host.ends_with(".local") ||
         host.ends_with(".internal");
}

std::string_view base_url_of(const Host& host, const HttpOptions& options) noexcept {
  return options.base_url.empty() ? host.base_url : trimmed(options.base_url);
}

std::string_view name_of(const Host& host, const HttpOptions& options) noexcept {
  return options.name.empty() ? host.name : std::string_view(options.name);
}

}  // namespace

std::string HttpProvider::problem(const Host& host, const HttpOptions& options) {
  const std::string name(name_of(host, options));
  if (!is_visible(trimmed(options.api_key))) {
    return "the key of " + name + " is not as a provider gives it: ASCII, no blanks, no line breaks";
  }
  const std::string_view url = base_url_of(host, options);
  if (!url.empty() && !split(url).usable) {
    return "the base_url of " + name +
           R"( is not the URL of an API, such as "https://api.openai.com/v1" (http or https, no user name, no "#"))";
  }
  return {};
}

HttpProvider::HttpProvider(const Host& host, HttpOptions options)
    : host_(host), name_(name_of(host, options)), key_(trimmed(options.api_key)), now_(std::move(options.now)) {
  if (const std::string wrong = problem(host, options); !wrong.empty()) throw std::invalid_argument(wrong);
  Split parts = split(base_url_of(host, options));
  while (parts.path.ends_with('/')) parts.path.pop_back();
  may_lack_key_ = host.free || is_near(parts.host);
  url_ = {std::move(parts.scheme), std::move(parts.authority), std::move(parts.host), std::move(parts.path),
          std::move(parts.query)};
}

std::string HttpProvider::Url::with(std::string_view path_behind, std::string_view query_behind) const {
  if (scheme.empty()) return {};
  std::string whole = scheme + "://" + authority + path + std::string(path_behind);
  for (const std::string_view part : {std::string_view(query), query_behind}) {
    if (part.empty()) continue;
    whole += whole.find('?') == std::string::npos ? '?' : '&';
    whole += part;
  }
  return whole;
}

std::string HttpProvider::address() const {
  return url_.scheme.empty() ? std::string() : url_.scheme + "://" + url_.authority + url_.path;
}

WallTime HttpProvider::now() const { return now_ ? now_() : io::wall(); }

std::pair<std::string, std::string> HttpProvider::authorization() const { return {"Authorization", "Bearer " + key_}; }

std::variant<HttpRequest, Failure> HttpProvider::request(std::string to, std::string body,
                                                         std::string_view method) const {
  if (to.empty()) {
    return failure(Outcome::auth,
                   name_ + " has no address: set " + std::string(host_.url_variable) + ", or its base_url");
  }
  if (key_.empty() && !may_lack_key_) {
    return failure(Outcome::auth, name_ + " has no key: set " + std::string(host_.key_variable) + ", or its api_key");
  }
  HttpRequest made;
  made.method = method;
  made.url = std::move(to);
  made.headers = {{"Accept", "application/json"},
                  {"Content-Type", "application/json"},
                  {"User-Agent", "llmcore/" + std::string(version())}};
  if (!key_.empty()) made.headers.push_back(authorization());
  made.body = std::move(body);
  return made;
}

}  // namespace llmcore::net

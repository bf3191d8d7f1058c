#include "client_recording.hpp"

#include <algorithm>
#include <array>

namespace llmcore::net {
namespace {

constexpr std::string_view kMask = "[key]";
constexpr std::size_t kShortestSecret = 4;  // what is shorter would be found in every other word
constexpr std::size_t kTellingStart = 8;    // of a long secret that is masked also where the rest of it is not echoed
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

/// Request headers that hold nothing secret; any other may, whatever its name.
constexpr std::array<std::string_view, 7> kHarmless{
    "accept", "accept-encoding", "content-type", "user-agent", "anthropic-version", "anthropic-beta", "x-title"};
/// Headers of an answer that a decoder looks at, by their beginning.
constexpr std::array<std::string_view, 7> kTold{"retry-after",  "x-should-retry", "x-ratelimit", "anthropic-ratelimit",
                                                "x-request-id", "request-id",     "content-type"};

std::string lower(std::string_view text) {
  std::string all(text);
  for (char& c : all) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return all;
}

void replace(std::string& text, std::string_view what) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += kMask.size()) {
    text.replace(at, what.size(), kMask);
  }
}

std::string masked(std::string text, const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    replace(text, secret);
    if (secret.size() > 2 * kTellingStart) replace(text, std::string_view(secret).substr(0, kTellingStart));
  }
  return text;
}

std::vector<std::string> secrets_of(const HttpRequest& request) {
  std::vector<std::string> secrets;
  for (const auto& [name, value] : request.headers) {
    if (std::find(kHarmless.begin(), kHarmless.end(), lower(name)) != kHarmless.end()) continue;
    const std::size_t space = value.find(' ');
    std::string secret = space == std::string::npos ? value : value.substr(space + 1);  // "Bearer sk-..."
    if (secret.size() >= kShortestSecret) secrets.push_back(std::move(secret));
  }
  return secrets;
}

/// Host, path and query: what of a URL makes two requests equal. Neither scheme, user nor port.
std::string place_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  std::string_view rest = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
  const std::size_t path = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view host = rest.substr(0, path);
  rest = rest.substr(path);
  if (const std::size_t user = host.rfind('@'); user != std::string_view::npos) host.remove_prefix(user + 1);
  const bool bracketed = !host.empty() && host.front() == '[';
  if (const std::size_t port = bracketed ? host.find("]:") : host.rfind(':'); port != std::string_view::npos) {
    host = host.substr(0, bracketed ? port + 1 : port);
  }
  rest = rest.substr(0, rest.find('#'));
  std::string place = lower(host) + std::string(rest);
  if (rest.find('?') == std::string_view::npos) place += '?';
  return place;
}

std::string shown(std::string_view url) {
  std::string all(url.substr(0, url.find('#')));
  const std::size_t scheme = all.find("://");
  const std::size_t start = scheme == std::string::npos ? 0 : scheme + 3;
  const std::size_t end = std::min(all.find_first_of("/?", start), all.size());
  if (const std::size_t user = all.rfind('@', end); user != std::string::npos && user >= start)
    all.erase(start, user + 1 - start);
  return all;
}

}  // namespace

void ClientRecording::request(CallId call, AttemptId attempt, std::string_view provider, const HttpRequest& request) {
  if (!on()) return;
  Open open;
  open.secrets = secrets_of(request);
  recorded::Request event;
  event.call = call;
  event.attempt = attempt;
  event.provider = provider;
  event.method = request.method;
  event.url = masked(shown(request.url), open.secrets);
  event.body = masked(request.body, open.secrets);
  event.fingerprint = fingerprint("", request.method, masked(place_of(request.url), open.secrets), event.body);
  log_->request(event);
  open.response.call = call;
  open.response.attempt = attempt;
  open.response.fingerprint = event.fingerprint;
  open.response.ordinal = event.ordinal;
  open_.insert_or_assign(attempt, std::move(open));
}

void ClientRecording::head(AttemptId attempt, int status, const Headers& headers) {
  const auto found = open_.find(attempt);
  if (found == open_.end()) return;
  Open& open = found->second;
  open.response.status = static_cast<std::uint32_t>(std::max(status, 0));
  for (const auto& [name, value] : headers) {
    const std::string_view key = name;  // a binding cannot be captured by every compiler
    const auto begins = [&](std::string_view start) { return key.starts_with(start); };
    if (std::any_of(kTold.begin(), kTold.end(), begins))
      open.response.headers.emplace_back(name, masked(value, open.secrets));
  }
}

void ClientRecording::data(AttemptId attempt, std::string_view bytes) {
  const auto found = open_.find(attempt);
  if (found == open_.end() || found->second.response.body.size() + bytes.size() > kMostBytes) return;
  found->second.response.body += bytes;
}

void ClientRecording::done(AttemptId attempt, const std::optional<TransportError>& error) {
  const auto found = open_.find(attempt);
  if (found == open_.end()) return;
  Open open = std::move(found->second);
  open_.erase(found);
  open.response.body = masked(std::move(open.response.body), open.secrets);
  // An answer of which a part came is an answer that ends early: that says more than an error would.
  if (error && (open.response.status != 200 || open.response.body.empty())) {
    open.response.status = 0;
    open.response.headers.clear();
    open.response.body.clear();
    open.response.error = error->outcome;
    open.response.message = masked(error->message, open.secrets);
  }
  log_->response(open.response);
}

}  // namespace llmcore::net

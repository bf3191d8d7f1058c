#include "curl_faults.hpp"

#include <algorithm>

#include "answer_headers.hpp"

namespace llmcore::net {

std::string address_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, std::min(url.find_first_of("/?#"), url.size()));
  if (const std::size_t at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
  constexpr std::size_t kLongest = 260;
  return url.empty() || !is_printable(url) ? "the server" : std::string(url.substr(0, kLongest));
}

TransportError fault_of(CURLcode code, std::string_view url, bool begun) {
  const std::string address = address_of(url);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST: return {Outcome::connection, "the name of " + address + " could not be resolved"};
    case CURLE_COULDNT_RESOLVE_PROXY: return {Outcome::connection, "the name of the proxy could not be resolved"};
    case CURLE_COULDNT_CONNECT: return {Outcome::connection, "no connection to " + address};
    case CURLE_OPERATION_TIMEDOUT:
      return {Outcome::timeout,
              begun ? address + " did not end its answer in time" : "no answer from " + address + " in time"};
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      return {Outcome::connection, "TLS with " + address + " could not be established"};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {Outcome::connection, "the certificate of " + address + " is not one that is trusted, or of another name"};
    case CURLE_SSL_CACERT_BADFILE: return {Outcome::connection, "the file of trusted certificates cannot be read"};
    case CURLE_URL_MALFORMAT: return {Outcome::bad_request, "the URL is not one of http or https"};
    case CURLE_UNSUPPORTED_PROTOCOL:  // also of an answer without a status line
      if (!url.starts_with("http://") && !url.starts_with("https://")) {
        return {Outcome::bad_request, "the URL is not one of http or https"};
      }
      [[fallthrough]];
    case CURLE_WEIRD_SERVER_REPLY: return {Outcome::connection, address + " answered with what is no HTTP"};
    case CURLE_BAD_CONTENT_ENCODING:
      return {Outcome::server_error, "the answer of " + address + " cannot be decompressed"};
    case CURLE_GOT_NOTHING: return {Outcome::connection, address + " closed the connection without an answer"};
    case CURLE_OUT_OF_MEMORY: return {Outcome::connection, "there was no memory for a connection to " + address};
    default: break;
  }
  return {Outcome::connection, begun ? "the connection to " + address + " broke in the middle of the answer"
                                     : "the connection to " + address + " broke"};
}

}  // namespace llmcore::net

#include "llmcore/net/curl_transport.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "answer_headers.hpp"
#include "curl_faults.hpp"
#include "json.hpp"
#include "llmcore/io/clock.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

struct EasyCleanup {
  void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
struct MultiCleanup {
  void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
};
struct ListCleanup {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;
using Multi = std::unique_ptr<CURLM, MultiCleanup>;
using List = std::unique_ptr<curl_slist, ListCleanup>;

constexpr std::size_t kMostHeaderBytes = std::size_t{256} << 10;
constexpr std::size_t kMostIdleHandles = 64;

long milliseconds(Duration of) noexcept {
  constexpr Duration kMost = 24 * kHour;
  return static_cast<long>((std::clamp<Duration>(of, 0, kMost) + kMillisecond - 1) / kMillisecond);
}

bool breaks_line(std::string_view text) noexcept {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != text.npos;
}

struct Transfer {
  TransferId id = 0;
  TransferSink* sink = nullptr;
  HttpRequest request;
  Easy easy;
  List headers;

  // What has come, and was not told yet.
  int status = 0;
  Headers answer_headers;
  std::string data;
  std::optional<TransportError> error;
  bool over = false;
  bool head_ended = false;  // the headers are complete
  bool head_told = false;
  bool queued = false;
  bool sent = false;  // as far as libcurl is concerned: the request may be on its way

  std::size_t header_bytes = 0;
  std::size_t body_bytes = 0;
  Instant last_byte = 0;

  // Of the transport.
  const CurlOptions* options = nullptr;
  const Instant* now = nullptr;
  std::vector<TransferId>* ready = nullptr;

  void queue() {
    if (!queued) ready->push_back(id);
    queued = true;
  }
  void fail(TransportError why) {
    if (!error) error = std::move(why);
    over = true;
    queue();
  }
  void take_header(std::string_view line);
};

/// One line of an answer's headers, as libcurl hands it on: of a "100 Continue" as well, and of trailers.
void Transfer::take_header(std::string_view line) {
  last_byte = *now;
  if (head_ended) return;
  line = trimmed(line);
  if (line.starts_with("HTTP/")) {
    answer_headers.clear();
    const std::size_t blank = line.find(' ');
    status = static_cast<int>(scaled_decimal(line.substr(std::min(blank, line.size() - 1) + 1, 3), 0).value_or(0));
  } else if (line.empty()) {
    head_ended = status >= 200;
    if (head_ended) queue();
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    answer_headers.emplace_back(lowered(trimmed(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
  }
}

std::size_t on_header_bytes(char* bytes, std::size_t size, std::size_t count, void* given) {
  auto& transfer = *static_cast<Transfer*>(given);
  transfer.header_bytes += size * count;
  if (transfer.header_bytes > kMostHeaderBytes) {
    transfer.error = {Outcome::server_error, "the headers of the answer are too long"};
    return 0;
  }
  transfer.take_header({bytes, size * count});
  return size * count;
}

std::size_t on_body_bytes(char* bytes, std::size_t size, std::size_t count, void* given) {
  auto& transfer = *static_cast<Transfer*>(given);
  transfer.last_byte = *transfer.now;
  transfer.body_bytes += size * count;
  if (transfer.body_bytes > transfer.options->max_body) {
    transfer.error = {Outcome::server_error,
                      "the answer is longer than " + std::to_string(transfer.options->max_body) + " bytes"};
    return 0;
  }
  transfer.data.append(bytes, size * count);
  transfer.queue();
  return size * count;
}

#if LIBCURL_VERSION_NUM >= 0x075000
// Before a request is written to its connection. Once for each transfer, but where a kept connection turns out to be dead
// before a byte of the answer: there libcurl would send all of it again, on a new one. The server may have read the first
// and be at work on it, so that is the engine's to decide, which counts attempts and holds to their limit and their price.
int before_request(void* given, char* /*to*/, char* /*from*/, int /*to_port*/, int /*from_port*/) {
  auto& transfer = *static_cast<Transfer*>(given);
  if (!std::exchange(transfer.sent, true)) return CURL_PREREQFUNC_OK;
  transfer.error = fault_of(CURLE_GOT_NOTHING, transfer.request.url, false);
  return CURL_PREREQFUNC_ABORT;
}
#endif

bool initialized() noexcept {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

}  // namespace

class CurlTransport::Impl {
 public:
  explicit Impl(CurlOptions options) : options_(std::move(options)) {
    if (!initialized()) throw std::runtime_error("libcurl cannot be initialized");
    multi_.reset(curl_multi_init());
    if (!multi_) throw std::runtime_error("libcurl gave no multi handle");
    data_.reserve(CURL_MAX_WRITE_SIZE);
    if (options_.max_connections != 0) {
      const auto most = std::min<std::size_t>(options_.max_connections, std::numeric_limits<int>::max());
      curl_multi_setopt(multi_.get(), CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(most));
    }
  }
  ~Impl() {
    for (auto& [id, transfer] : transfers_) curl_multi_remove_handle(multi_.get(), transfer->easy.get());
    transfers_.clear();
    idle_.clear();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void start(TransferId id, HttpRequest request, Duration timeout, TransferSink& sink) {
    abort(id);
    auto made = std::make_unique<Transfer>();
    Transfer& transfer = *made;
    transfer.id = id;
    transfer.sink = &sink;
    transfer.options = &options_;
    transfer.now = &now_;
    transfer.ready = &ready_;
    transfer.request = std::move(request);
    transfers_[id] = std::move(made);
    const std::size_t most = std::bit_ceil(transfers_.size());
    ready_.reserve(most);  // each is in there once at the most: what arrives takes no more memory
    told_.reserve(most);
    if (timeout <= 0) {
      transfer.fail({Outcome::timeout, "there was no time left to ask " + address_of(transfer.request.url)});
    } else if (!prepare(transfer, timeout)) {
      transfer.fail(
          {Outcome::bad_request, "libcurl does not take this request to " + address_of(transfer.request.url)});
    } else if (curl_multi_add_handle(multi_.get(), transfer.easy.get()) != CURLM_OK) {
      transfer.fail({Outcome::connection, "libcurl does not take another transfer"});
    }
  }

  void abort(TransferId id) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) return;
    retire(*found->second);
    transfers_.erase(found);
  }

  void poll(Duration wait) {
    if (turn() || wait <= 0) return;
    const Instant now = io::mono();
    for (const auto& [id, transfer] : transfers_) {
      if (stalls(*transfer)) wait = std::min(wait, transfer->last_byte + options_.stall_timeout - now);
    }
    const long most = std::min<long>(milliseconds(wait), std::numeric_limits<int>::max());
    curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(most), nullptr);
    (void)turn();
  }

  void wakeup() noexcept { curl_multi_wakeup(multi_.get()); }

  [[nodiscard]] std::size_t in_flight() const noexcept { return transfers_.size(); }

 private:
  bool prepare(Transfer& transfer, Duration timeout) {
    const HttpRequest& request = transfer.request;
    if (breaks_line(request.url) || breaks_line(request.method)) return false;
    curl_slist* list = nullptr;
    const auto append = [&](const std::string& line) {
      curl_slist* const longer = curl_slist_append(list, line.c_str());
      if (longer != nullptr) list = longer;
      return longer != nullptr;
    };
    bool complete = append("Expect:");  // a wait for a "100 Continue" that hardly any API sends
    for (const auto& [name, value] : request.headers) {
      complete = complete && !breaks_line(name) && !breaks_line(value) && name.find(':') == std::string::npos;
      if (complete) complete = append(value.empty() ? name + ";" : name + ": " + value);
    }
    transfer.headers.reset(list);
    if (!complete) return false;
    if (idle_.empty()) {
      transfer.easy.reset(curl_easy_init());
    } else {
      transfer.easy = std::move(idle_.back());
      idle_.pop_back();
    }
    CURL* const easy = transfer.easy.get();
    if (easy == nullptr) return false;

    bool taken = true;
    const auto set = [&](CURLoption option, auto value) {
      taken = curl_easy_setopt(easy, option, value) == CURLE_OK && taken;
    };
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_HTTPHEADER, list);
    set(CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));  // a proxy is not told our headers
    if (request.method == "GET" && request.body.empty()) {
      set(CURLOPT_HTTPGET, 1L);
    } else {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDS, request.body.data());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      if (request.method != "POST") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
#if LIBCURL_VERSION_NUM >= 0x075500
    set(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
    if (options_.proxy) set(CURLOPT_PROXY, options_.proxy->c_str());
    set(CURLOPT_HTTP_VERSION, static_cast<long>(options_.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    set(CURLOPT_ACCEPT_ENCODING, "");
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_NOPROGRESS, 1L);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    set(CURLOPT_QUICK_EXIT, 1L);  // else the end of a transfer joins the thread that resolves its name
#endif
#if LIBCURL_VERSION_NUM >= 0x075000
    set(CURLOPT_PREREQFUNCTION, &before_request);
    set(CURLOPT_PREREQDATA, static_cast<void*>(&transfer));
#endif
    set(CURLOPT_TIMEOUT_MS, milliseconds(timeout));
    set(CURLOPT_CONNECTTIMEOUT_MS, std::max(1L, milliseconds(std::min(timeout, options_.connect_timeout))));
    set(CURLOPT_PRIVATE, static_cast<void*>(&transfer));
    set(CURLOPT_HEADERFUNCTION, &on_header_bytes);
    set(CURLOPT_WRITEFUNCTION, &on_body_bytes);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
    set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
    return taken;
  }

  /// Gives its handle back, of a transfer that is over or given up.
  void retire(Transfer& transfer) {
    if (!transfer.easy) return;
    curl_multi_remove_handle(multi_.get(), transfer.easy.get());
    curl_easy_reset(transfer.easy.get());
    if (idle_.size() < kMostIdleHandles) idle_.push_back(std::move(transfer.easy));
    transfer.easy.reset();
  }

  [[nodiscard]] bool stalls(const Transfer& transfer) const noexcept {
    return options_.stall_timeout > 0 && transfer.head_ended && !transfer.over;
  }

  /// Lets libcurl do what can be done, and tells what came of it; whether something did.
  bool turn() {
    now_ = io::mono();
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    int left = 0;
    while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      char* given = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &given);
      auto& transfer = *static_cast<Transfer*>(static_cast<void*>(given));
      const CURLcode code = message->data.result;
      if (code != CURLE_OK && !transfer.error) {
        transfer.error = fault_of(code, transfer.request.url, transfer.head_ended);
      }
      transfer.over = true;
      transfer.queue();
    }
    for (const auto& [id, transfer] : transfers_) {
      if (!stalls(*transfer) || now_ - transfer->last_byte < options_.stall_timeout) continue;
      transfer->fail(
          {Outcome::timeout, address_of(transfer->request.url) + " fell silent in the middle of its answer"});
    }
    return tell();
  }

  [[nodiscard]] Transfer* find(TransferId id) noexcept {
    const auto found = transfers_.find(id);
    return found == transfers_.end() ? nullptr : found->second.get();
  }

  /// A sink may start and abort any transfer: nothing of a transfer is held while it is told.
  bool tell() {
    told_.clear();
    told_.swap(ready_);
    bool any = false;
    for (const TransferId id : told_) {
      Transfer* transfer = find(id);
      if (transfer == nullptr || !transfer->queued) continue;
      transfer->queued = false;
      any = true;
      TransferSink& sink = *transfer->sink;
      if (transfer->head_ended && !transfer->head_told) {
        transfer->head_told = true;
        sink.on_head(id, transfer->status, std::move(transfer->answer_headers));
        transfer = find(id);
      }
      if (transfer != nullptr && !transfer->data.empty()) {
        data_.assign(transfer->data);
        transfer->data.clear();
        sink.on_data(id, data_);
        transfer = find(id);
      }
      if (transfer == nullptr || !transfer->over) continue;
      std::optional<TransportError> error = std::move(transfer->error);
      if (!error && !transfer->head_told) error = fault_of(CURLE_GOT_NOTHING, transfer->request.url, false);
      retire(*transfer);
      transfers_.erase(id);
      sink.on_done(id, std::move(error));
    }
    return any;
  }

  CurlOptions options_;
  Multi multi_;
  std::vector<Easy> idle_;
  std::unordered_map<TransferId, std::unique_ptr<Transfer>> transfers_;
  std::vector<TransferId> ready_;  // with something to tell
  std::vector<TransferId> told_;
  std::string data_;
  Instant now_ = 0;
};

CurlTransport::CurlTransport(CurlOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
CurlTransport::~CurlTransport() = default;

void CurlTransport::start(TransferId transfer, HttpRequest request, Duration timeout, TransferSink& sink) {
  impl_->start(transfer, std::move(request), timeout, sink);
}
void CurlTransport::abort(TransferId transfer) { impl_->abort(transfer); }
void CurlTransport::poll(Duration wait) { impl_->poll(wait); }
void CurlTransport::wakeup() noexcept { impl_->wakeup(); }
std::size_t CurlTransport::in_flight() const noexcept { return impl_->in_flight(); }

bool CurlTransport::resolves_in_background() noexcept {
  return initialized() && (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0;
}

}  // namespace llmcore::net

// The network, with a plug that the player can pull: what goes over it breaks off, and what is tried fails at once.
//
// A transport (llmcore/net/transport.hpp) around another one. set_plugged() may be called by any thread; the rest is for
// the client's worker.
#pragma once

#include <atomic>
#include <llmcore/net/transport.hpp>
#include <map>
#include <memory>

namespace village {

class NetworkSwitch final : public llmcore::net::Transport, private llmcore::net::TransferSink {
 public:
  explicit NetworkSwitch(std::shared_ptr<llmcore::net::Transport> network) : network_(std::move(network)) {}

  void set_plugged(bool plugged) noexcept;

  void start(llmcore::net::TransferId transfer, llmcore::net::HttpRequest request, llmcore::Duration timeout,
             llmcore::net::TransferSink& sink) override;
  void abort(llmcore::net::TransferId transfer) override;
  void poll(llmcore::Duration wait) override;
  void wakeup() noexcept override { network_->wakeup(); }

 private:
  struct Transfer {
    llmcore::net::TransferSink* sink = nullptr;
    bool sent = false;
  };
  void on_head(llmcore::net::TransferId transfer, int status, llmcore::net::Headers&& headers) override;
  void on_data(llmcore::net::TransferId transfer, std::string_view bytes) override;
  void on_done(llmcore::net::TransferId transfer, std::optional<llmcore::net::TransportError> error) override;

  std::shared_ptr<llmcore::net::Transport> network_;
  std::atomic<bool> plugged_{true};
  std::map<llmcore::net::TransferId, Transfer> transfers_;
};

}  // namespace village

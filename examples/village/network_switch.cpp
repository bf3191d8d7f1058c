#include "network_switch.hpp"

#include <utility>

namespace village {

using llmcore::net::TransferId;

void NetworkSwitch::set_plugged(bool plugged) noexcept {
  plugged_ = plugged;
  wakeup();
}

void NetworkSwitch::start(TransferId transfer, llmcore::net::HttpRequest request, llmcore::Duration timeout,
                          llmcore::net::TransferSink& sink) {
  const bool sent = plugged_;
  transfers_[transfer] = {&sink, sent};
  if (sent) network_->start(transfer, std::move(request), timeout, *this);
}

void NetworkSwitch::abort(TransferId transfer) {
  const auto found = transfers_.find(transfer);
  if (found == transfers_.end()) return;
  if (found->second.sent) network_->abort(transfer);
  transfers_.erase(found);
}

void NetworkSwitch::poll(llmcore::Duration wait) {
  // One at a time: a sink may start and abort others.
  const auto lost = [this] {
    for (auto each = transfers_.begin(); each != transfers_.end(); ++each) {
      if (!plugged_ || !each->second.sent) return each;
    }
    return transfers_.end();
  };
  bool any = false;
  for (auto each = lost(); each != transfers_.end(); each = lost()) {
    any = true;
    if (each->second.sent) network_->abort(each->first);
    on_done(each->first, llmcore::net::TransportError{llmcore::Outcome::connection, "the network is unplugged"});
  }
  network_->poll(any ? 0 : wait);
}

void NetworkSwitch::on_head(TransferId transfer, int status, llmcore::net::Headers&& headers) {
  transfers_.at(transfer).sink->on_head(transfer, status, std::move(headers));
}

void NetworkSwitch::on_data(TransferId transfer, std::string_view bytes) {
  transfers_.at(transfer).sink->on_data(transfer, bytes);
}

void NetworkSwitch::on_done(TransferId transfer, std::optional<llmcore::net::TransportError> error) {
  llmcore::net::TransferSink* const sink = transfers_.at(transfer).sink;
  transfers_.erase(transfer);
  sink->on_done(transfer, std::move(error));
}

}  // namespace village

// What a caller reserved in a component and has to give back, exactly once and where it came from.
#pragma once

#include <memory>
#include <utility>

#include "bindings.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

template <class Component>
struct Held {
  std::shared_ptr<Locked<Component>> owner;  // kept alive, so that no other component can come to stand at its address
  typename Component::Reservation reservation;
  bool open = true;
};

/// Ends a reservation with `close(component, reservation)` under the lock. The library trusts its caller with "exactly
/// once, with the one it came from"; Python code gets a ValueError instead of wrong counts.
template <class Component, class Close>
auto end(Locked<Component>& self, Held<Component>& held, Close&& close) {
  return self.with([&](Component& component) {
    if (held.owner.get() != &self) throw py::value_error("this reservation was made by another object: end it there");
    if (!held.open) throw py::value_error("this reservation has ended already: each is ended once");
    held.open = false;
    return std::forward<Close>(close)(component, std::as_const(held.reservation));
  });
}

}  // namespace llmcore::bindings

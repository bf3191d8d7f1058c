// Events of a recording as Python sees them: dicts of plain values, in the shape that their JSON has.
//
// Text is a str where it is UTF-8 and bytes where it is not; hashes and fingerprints are hex; enumerators their names;
// what is absent is None; an input is {"submit": {...}}.
#pragma once

#include "bindings.hpp"
#include "llmcore/recording_format.hpp"

namespace llmcore::bindings {

[[nodiscard]] py::dict event_as_dict(const RecordedEvent& event);
/// Raises ValueError, with the path of the field, for anything but what event_as_dict() gives.
[[nodiscard]] RecordedEvent event_from_dict(const py::dict& event);

}  // namespace llmcore::bindings

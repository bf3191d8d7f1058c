# The extension llmcore._core: conversion between Python and the core, one register_*.cpp per header.

# Without link-time optimisation, which pybind11 would switch on: a call costs what its conversion costs, and the build would double.
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION OFF)

# Development.Module, never Development: wheels are built where there is no libpython to link.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 3.0 CONFIG REQUIRED)

set(LLMCORE_BINDING_SOURCES
    module.cpp
    recorded_events.cpp
    register_backoff.cpp
    register_budget.cpp
    register_engine.cpp
    register_error_recovery.cpp
    register_io.cpp
    register_journal.cpp
    register_ledger.cpp
    register_ledger_columns.cpp
    register_ledger_sums.cpp
    register_messages.cpp
    register_money.cpp
    register_offline.cpp
    register_rate_limiter.cpp
    register_replay.cpp
    register_request_queue.cpp
    register_response_cache.cpp
    register_token_tracker.cpp
    register_types.cpp)
list(TRANSFORM LLMCORE_BINDING_SOURCES PREPEND cpp/bindings/)

pybind11_add_module(_core MODULE ${LLMCORE_BINDING_SOURCES})
llmcore_target(_core)
target_link_libraries(_core PRIVATE llmcore_core llmcore_io)

# A relative destination: an absolute one would leave the wheel empty.
install(TARGETS _core LIBRARY DESTINATION llmcore COMPONENT python)

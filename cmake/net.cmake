# llmcore::net: providers over HTTP, and the client of a frame loop. Left out of the wheel, which has its own transport, and where
# libcurl is not found, unless it was asked for.
if(LLMCORE_NET STREQUAL "AUTO" AND LLMCORE_PYTHON)
  set(llmcore_build_net OFF)
else()
  set(llmcore_build_net ${LLMCORE_NET})
endif()
if(llmcore_build_net STREQUAL "AUTO" AND NOT LLMCORE_DEVELOPER_MODE)
  find_package(CURL QUIET)
  set(llmcore_build_net OFF)
  if(CURL_FOUND)
    set(llmcore_build_net ON)
  endif()
elseif(llmcore_build_net)
  find_package(CURL REQUIRED)
endif()
if(NOT llmcore_build_net)
  return()
endif()
find_package(Threads REQUIRED)

set(LLMCORE_NET_HEADERS
    client.hpp
    client_setup.hpp
    config_manager.hpp
    curl_transport.hpp
    hosts.hpp
    provider.hpp
    provider_factory.hpp
    providers.hpp
    session.hpp
    transport.hpp)
set(LLMCORE_NET_SOURCES
    answer_headers.cpp
    background.cpp
    chat.cpp
    chat_request.cpp
    chat_stream.cpp
    client.cpp
    client_config.cpp
    client_events.cpp
    client_exchange.cpp
    client_ledger.cpp
    client_mail.cpp
    client_recording.cpp
    client_request.cpp
    client_setup.cpp
    client_worker.cpp
    config_fields.cpp
    config_manager.cpp
    config_money.cpp
    config_values.cpp
    curl_faults.cpp
    curl_transport.cpp
    environment.cpp
    failures.cpp
    hosts.cpp
    http_provider.cpp
    json.cpp
    json_check.cpp
    json_decimal.cpp
    json_writing.cpp
    media.cpp
    messages.cpp
    messages_content.cpp
    messages_request.cpp
    messages_stream.cpp
    offline_provider.cpp
    ollama.cpp
    ollama_request.cpp
    phrases.cpp
    provider.cpp
    provider_factory.cpp
    providers.cpp
    request_fields.cpp
    responses.cpp
    responses_items.cpp
    responses_request.cpp
    responses_stream.cpp
    session.cpp
    session_json.cpp
    sse.cpp
    stream.cpp
    usage.cpp)
list(TRANSFORM LLMCORE_NET_HEADERS PREPEND cpp/include/llmcore/net/)
list(TRANSFORM LLMCORE_NET_SOURCES PREPEND cpp/src/net/)

add_library(llmcore_net ${LLMCORE_LIBRARY_TYPE} ${LLMCORE_NET_SOURCES})
add_library(llmcore::net ALIAS llmcore_net)
target_sources(llmcore_net PUBLIC FILE_SET HEADERS BASE_DIRS cpp/include FILES ${LLMCORE_NET_HEADERS})
llmcore_library(llmcore_net net)
target_link_libraries(llmcore_net PUBLIC llmcore_io Threads::Threads PRIVATE CURL::libcurl)

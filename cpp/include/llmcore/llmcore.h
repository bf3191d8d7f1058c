/* llmcore for everything that speaks C: C# in Unity, Rust, Lua, GDScript, Python's ctypes.
 *
 * The client of a frame loop (llmcore/net/client.hpp) and a conversation's memory, behind opaque handles. C99.
 *
 * Memory. What a `..._create` gives is freed by its `..._destroy`, and by nothing else. Whatever is handed in, strings
 * included, is copied before the function returns and stays the caller's. Texts in events are llmcore's and valid until the
 * next llmcore_poll() on that client. No function returns memory that the caller must free.
 *
 * Errors. No function throws, aborts or prints. A null handle is no crash: the function does nothing and returns 0 or NULL.
 * What can go wrong at creation is told in a buffer of the caller's; what can go wrong with a call comes as its event.
 *
 * Versions. A struct that may grow says how large it is, in its first field, which the `..._init` macros fill in, or (events)
 * beside it: a program built with an older header goes on working with a newer library, whose new fields are at the end of
 * their structs and have their defaults. llmcore_text, llmcore_message and llmcore_price stay as they are.
 *
 * Threads. One thread at a time per handle; llmcore_client_stats() may be called by any.
 */
#ifndef LLMCORE_H
#define LLMCORE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(LLMCORE_C_BUILD)
#define LLMCORE_API __declspec(dllexport)
#else
#define LLMCORE_API __declspec(dllimport)
#endif
#else
#define LLMCORE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with every addition; what an older header knows stays as it is. */
#define LLMCORE_ABI_VERSION 1

typedef struct llmcore_client llmcore_client;
typedef struct llmcore_conversation llmcore_conversation;
/* Names a call for as long as the client lives; 0 is none. */
typedef uint64_t llmcore_call;

/* Bytes that are llmcore's: UTF-8, followed by no NUL. */
typedef struct llmcore_text {
  const char* data;
  size_t size;
} llmcore_text;

typedef enum llmcore_priority { LLMCORE_HIGH = 0, LLMCORE_MEDIUM = 1, LLMCORE_LOW = 2 } llmcore_priority;
typedef enum llmcore_role {
  LLMCORE_SYSTEM = 0,
  LLMCORE_USER = 1,
  LLMCORE_ASSISTANT = 2,
  LLMCORE_TOOL = 3
} llmcore_role;
typedef enum llmcore_event_kind {
  LLMCORE_EVENT_TOKEN = 0,       /* text: the next piece of the answer */
  LLMCORE_EVENT_FINISHED = 1,    /* text: all of the answer */
  LLMCORE_EVENT_FAILED = 2,      /* error: why there is none; text: what came before it broke off */
  LLMCORE_EVENT_CACHE_SAVED = 3, /* text: the bytes for the save file */
  LLMCORE_EVENT_CACHE_LOADED = 4 /* attempts: answers that are there again; or error: why none is */
} llmcore_event_kind;
typedef enum llmcore_source {
  LLMCORE_SOURCE_NONE = 0,
  LLMCORE_SOURCE_PROVIDER = 1,
  LLMCORE_SOURCE_CACHE = 2,
  LLMCORE_SOURCE_JOINED = 3
} llmcore_source;

/* --- the library ------------------------------------------------------------------------------------------------------ */

/* "0.1.0"; static. */
LLMCORE_API const char* llmcore_version(void);
/* LLMCORE_ABI_VERSION of the library. */
LLMCORE_API uint32_t llmcore_abi_version(void);
/* "ok", "timeout", "rate_limited", ... of an event's outcome; static. "unknown" for what is none. */
LLMCORE_API const char* llmcore_outcome_name(int32_t outcome);

/* --- a client --------------------------------------------------------------------------------------------------------- */

/* A price in nano-dollars (10^-9) for a million tokens. */
typedef struct llmcore_price {
  const char* place; /* "provider/model" */
  int64_t input_nano_usd;
  int64_t output_nano_usd;
} llmcore_price;

/* Fill in with llmcore_config_init() first. Strings may be NULL: not said. What is not said, and what has no field here (the
 * queue, retries, more budgets), is as the environment says, else the file that LLMCORE_CONFIG names or llmcore.json in the
 * working directory, else llmcore's own. */
typedef struct llmcore_config {
  size_t struct_size;
  const char* provider; /* "openai", "anthropic", "llama", ...; NULL, and nothing is configured: offline */
  const char* model;    /* NULL, and nothing is configured: the provider's own */
  const char* api_key;
  const char* base_url; /* NULL, and nothing is configured: the provider's own */
  const char* ledger;   /* directory of a spool that `llmcore ledger import` reads; NULL: none */
  const llmcore_price* prices;
  size_t price_count;
  int64_t player_budget_nano_usd; /* that each player's calls may cost in a day; 0: no limit */
  int64_t total_budget_nano_usd;  /* that all calls may cost in a day; 0: no limit */
  int64_t requests_per_minute;    /* 0: no limit */
  int64_t max_in_flight;          /* 0: no limit */
  int64_t max_tokens;             /* of a request that says nothing */
  uint64_t seed;                  /* of every random choice */
  size_t max_calls;               /* that are not finished */
  size_t event_bytes;             /* of the ring that events come through */
  int32_t worker_thread;          /* 0: the host calls llmcore_client_pump() */
  int32_t cache;                  /* equal requests are answered from it */
  int32_t offline_fallback;       /* templates answer where nobody else does */
  int32_t ledger_texts;           /* prompts and answers go into the ledger as well */
} llmcore_config;

/* Defaults. `size` is sizeof(llmcore_config) of the caller's header. */
LLMCORE_API void llmcore_config_init_sized(llmcore_config* config, size_t size);
#define llmcore_config_init(config) llmcore_config_init_sized((config), sizeof(llmcore_config))

/* A client, or NULL with every problem in `error` (ended by NUL, cut to `error_size`; may be NULL): of the configuration, of
 * the environment and of the file. Freed by llmcore_client_destroy(). */
LLMCORE_API llmcore_client* llmcore_client_create(const llmcore_config* config, char* error, size_t error_size);
/* Shuts down, waiting no longer than 50 ms, and frees the client and all texts of its events. */
LLMCORE_API void llmcore_client_destroy(llmcore_client* client);
/* Cancels what is open and stops the worker; waits no longer than `deadline_ns`. 1 if all ended in time. The handle stays. */
LLMCORE_API int32_t llmcore_client_shutdown(llmcore_client* client, int64_t deadline_ns);

typedef struct llmcore_message {
  llmcore_role role;
  const char* content;
} llmcore_message;

/* Fill in with llmcore_request_init() first. Strings may be NULL. Of what is asked there must be one: messages, or a prompt. */
typedef struct llmcore_request {
  size_t struct_size;
  const llmcore_message* messages;
  size_t message_count;
  const llmcore_conversation* conversation; /* its messages come first; it is not changed */
  const char* prompt;                       /* the user's message, behind all others */
  llmcore_priority priority;
  int64_t deadline_ns; /* from now, for all of it; 0: the client's */
  const char* call_type;
  const char* json_schema; /* the answer is JSON of this schema; NULL: free text */
  const char* model;       /* NULL: the client's */
  int64_t max_tokens;      /* 0: the client's */
  double temperature;      /* below 0: not sent */
  const char* user_id;
  const char* player_name;
  const char* game_id;
  const char* session_id;
  uint64_t tag;     /* the host's own; comes back in every event */
  int32_t stream;   /* token events while the answer is written */
  int32_t cache;    /* 1, 0, or -1: the client's */
  int32_t severity; /* 0 to 1000: how severe the offline texts are */
  const char* name; /* of whom the offline texts speak */
} llmcore_request;

LLMCORE_API void llmcore_request_init_sized(llmcore_request* request, size_t size);
#define llmcore_request_init(request) llmcore_request_init_sized((request), sizeof(llmcore_request))

/* Takes a call on and never waits; whatever stands against it comes as its FAILED event. 0: the request asks nothing,
 * something is NULL that must not be, or a priority or a message's role is none (of a message: not TOOL either). */
LLMCORE_API llmcore_call llmcore_client_submit(llmcore_client* client, const llmcore_request* request);
/* Gives a call up: its FAILED event comes, unless it is over already. */
LLMCORE_API void llmcore_client_cancel(llmcore_client* client, llmcore_call call);
/* Begins a frame: what is recorded from here on belongs to it. */
LLMCORE_API void llmcore_client_set_frame(llmcore_client* client, int64_t tick);
/* Without a worker thread: does what is to be done, and waits no longer than `wait_ns` for something to do. */
LLMCORE_API void llmcore_client_pump(llmcore_client* client, int64_t wait_ns);

typedef struct llmcore_event {
  llmcore_event_kind kind;
  int32_t outcome; /* see llmcore_outcome_name() */
  llmcore_source source;
  int32_t fallback; /* the answer is of another provider than the first */
  llmcore_call call;
  uint64_t tag;
  llmcore_text text; /* this and the next five are valid until the next llmcore_poll() */
  llmcore_text error;
  llmcore_text provider;
  llmcore_text model;
  llmcore_text finish;     /* "stop", "length", "tool_calls", "content_filter" */
  llmcore_text tool_calls; /* JSON; empty: none */
  uint32_t attempts;
  int32_t cost_known; /* 0: partly at an unknown price */
  int64_t cost_nano_usd;
  int64_t saved_nano_usd;
  int64_t input_tokens;
  int64_t output_tokens;
  int64_t cached_tokens;
  int64_t latency_ns;
  int64_t queued_ns;
  int64_t first_token_ns;
  int64_t retry_hint_ns; /* refused: when to try again; 0: unknown */
} llmcore_event;

/* Writes what happened into `events`, an array of `most` whose elements are `event_size` (sizeof(llmcore_event)) apart, and
 * gives how many. Takes no longer than `budget_ns` (0: 100 us); what is left comes next time. */
LLMCORE_API size_t llmcore_client_poll_sized(llmcore_client* client, llmcore_event* events, size_t event_size,
                                             size_t most, int64_t budget_ns);
#define llmcore_client_poll(client, events, most, budget_ns) \
  llmcore_client_poll_sized((client), (events), sizeof(llmcore_event), (most), (budget_ns))

/* All cached answers up to `most_bytes`, as one CACHE_SAVED event. 0: no client. */
LLMCORE_API llmcore_call llmcore_client_save_cache(llmcore_client* client, size_t most_bytes);
/* Takes them from a save file, which is believed nothing; one CACHE_LOADED event says what came of it. */
LLMCORE_API llmcore_call llmcore_client_load_cache(llmcore_client* client, const char* bytes, size_t size);

typedef struct llmcore_stats {
  size_t struct_size;
  int64_t submitted;
  int64_t finished;
  int64_t failed;
  int64_t live;
  int64_t in_flight;
  int64_t cached;
  int64_t fallbacks;
  int64_t retries;
  int64_t input_tokens;
  int64_t output_tokens;
  int64_t cost_nano_usd;
  int64_t saved_nano_usd;
  int64_t unhealthy;
  int64_t unwritten;
} llmcore_stats;

/* Figures for a HUD; set struct_size first. From any thread. 0: something is NULL. */
LLMCORE_API int32_t llmcore_client_stats(const llmcore_client* client, llmcore_stats* stats);

/* --- a conversation --------------------------------------------------------------------------------------------------- */

/* Its memory: at most `max_messages` (0: 15) beside the system prompt (may be NULL), at most `max_tokens` with it (0: any
 * number). Freed by llmcore_conversation_destroy(). */
LLMCORE_API llmcore_conversation* llmcore_conversation_create(const char* system_prompt, size_t max_messages,
                                                              int64_t max_tokens);
LLMCORE_API void llmcore_conversation_destroy(llmcore_conversation* conversation);
/* Each of these gives NULL, or, static, why it was refused; what is refused changes nothing. */
LLMCORE_API const char* llmcore_conversation_add_user(llmcore_conversation* conversation, const char* content);
LLMCORE_API const char* llmcore_conversation_add_assistant(llmcore_conversation* conversation, const char* content,
                                                           size_t size);
/* Messages kept, the system prompt not counted. */
LLMCORE_API size_t llmcore_conversation_size(const llmcore_conversation* conversation);
/* The message of that number, from 0; 0: there is none. `content` is valid until the conversation is changed. */
LLMCORE_API int32_t llmcore_conversation_message(const llmcore_conversation* conversation, size_t number,
                                                 llmcore_role* role, llmcore_text* content);
/* Forgets everything but the system prompt. */
LLMCORE_API void llmcore_conversation_clear(llmcore_conversation* conversation);

#ifdef __cplusplus
}
#endif

#endif

/* The C interface from C99. Each check says what it is about; the exit code counts those that failed. */
#include <llmcore/llmcore.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(what)                                              \
  do {                                                           \
    if (!(what)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
      ++failures;                                                \
    }                                                            \
  } while (0)

static llmcore_client* make(int threaded) {
  char error[256] = "";
  llmcore_config config;
  llmcore_client* client;
  llmcore_config_init(&config);
  config.provider = "offline";
  config.worker_thread = threaded;
  client = llmcore_client_create(&config, error, sizeof error);
  CHECK(client != NULL);
  CHECK(error[0] == '\0');
  return client;
}

static void a_call_is_answered(void) {
  llmcore_client* client = make(0);
  llmcore_request request;
  llmcore_event events[16];
  llmcore_stats stats;
  llmcore_call call;
  size_t count;
  size_t i;
  int finished = 0;
  llmcore_request_init(&request);
  request.prompt = "Who goes there?";
  request.call_type = "dialogue";
  request.player_name = "ann";
  request.tag = 42;
  llmcore_client_set_frame(client, 1);
  call = llmcore_client_submit(client, &request);
  CHECK(call != 0);
  llmcore_client_pump(client, 0);
  count = llmcore_client_poll(client, events, 16, 0);
  CHECK(count == 2);
  for (i = 0; i < count; ++i) {
    CHECK(events[i].call == call);
    CHECK(events[i].tag == 42);
    if (events[i].kind == LLMCORE_EVENT_FINISHED) {
      ++finished;
      CHECK(events[i].text.size > 0);
      CHECK(events[i].provider.size == 7 && memcmp(events[i].provider.data, "offline", 7) == 0);
      CHECK(strcmp(llmcore_outcome_name(events[i].outcome), "ok") == 0);
      CHECK(events[i].cost_known == 1 && events[i].cost_nano_usd == 0);
    }
  }
  CHECK(finished == 1);
  stats.struct_size = sizeof stats;
  CHECK(llmcore_client_stats(client, &stats) == 1);
  CHECK(stats.submitted == 1 && stats.finished == 1 && stats.live == 0);
  CHECK(llmcore_client_shutdown(client, 1000000000) == 1);
  llmcore_client_destroy(client);
}

static void the_worker_answers_by_itself(void) {
  llmcore_client* client = make(1);
  llmcore_request request;
  llmcore_event events[16];
  int finished = 0;
  int looks = 0;
  int i;
  size_t count;
  llmcore_request_init(&request);
  request.stream = 0;
  for (i = 0; i < 10; ++i) {
    request.prompt = i % 2 ? "odd" : "even";
    CHECK(llmcore_client_submit(client, &request) != 0);
  }
  while (finished < 10 && ++looks < 200000000) {
    for (count = llmcore_client_poll(client, events, 16, 0); count > 0; --count) {
      finished += events[count - 1].kind == LLMCORE_EVENT_FINISHED;
    }
  }
  CHECK(finished == 10);
  llmcore_client_destroy(client);
}

static void a_conversation_goes_with_a_request(void) {
  llmcore_client* client = make(0);
  llmcore_conversation* memory = llmcore_conversation_create("You are a smith.", 4, 0);
  llmcore_request request;
  llmcore_event event;
  llmcore_role role;
  llmcore_text content;
  CHECK(llmcore_conversation_add_user(memory, "Hello") == NULL);
  CHECK(llmcore_conversation_add_assistant(memory, "Good day!!!", 8) == NULL);
  CHECK(llmcore_conversation_size(memory) == 2);
  CHECK(llmcore_conversation_message(memory, 1, &role, &content) == 1);
  CHECK(role == LLMCORE_ASSISTANT && content.size == 8 && memcmp(content.data, "Good day", 8) == 0);
  CHECK(llmcore_conversation_message(memory, 2, &role, &content) == 0);
  llmcore_request_init(&request);
  request.conversation = memory;
  request.prompt = "What do you sell?";
  request.stream = 0;
  CHECK(llmcore_client_submit(client, &request) != 0);
  CHECK(llmcore_conversation_size(memory) == 2);
  llmcore_client_pump(client, 0);
  CHECK(llmcore_client_poll(client, &event, 1, 0) == 1);
  CHECK(event.kind == LLMCORE_EVENT_FINISHED);
  llmcore_conversation_clear(memory);
  CHECK(llmcore_conversation_size(memory) == 0);
  llmcore_conversation_destroy(memory);
  llmcore_client_destroy(client);
}

static void what_is_wrong_is_said_and_crashes_nothing(void) {
  char error[24] = "";
  llmcore_config config;
  llmcore_request request;
  llmcore_event event;
  llmcore_client* client;
  llmcore_config_init(&config);
  config.provider = "nobody";
  CHECK(llmcore_client_create(&config, error, sizeof error) == NULL);
  CHECK(strlen(error) > 10 && strlen(error) < sizeof error);
  config.provider = "offline";
  config.max_calls = 0;
  CHECK(llmcore_client_create(&config, error, sizeof error) == NULL);
  CHECK(strncmp(error, "max_calls", 9) == 0);
  config.max_calls = 1;
  config.player_budget_nano_usd = -1;
  CHECK(llmcore_client_create(&config, error, sizeof error) == NULL);
  CHECK(strncmp(error, "budgets[0]", 10) == 0);
  CHECK(llmcore_client_create(NULL, NULL, 0) == NULL);
  CHECK(llmcore_client_submit(NULL, NULL) == 0);
  CHECK(llmcore_client_poll(NULL, NULL, 0, 0) == 0);
  CHECK(llmcore_client_stats(NULL, NULL) == 0);
  llmcore_client_cancel(NULL, 1);
  llmcore_client_pump(NULL, 0);
  llmcore_client_destroy(NULL);
  llmcore_conversation_destroy(NULL);
  CHECK(llmcore_conversation_add_user(NULL, "x") != NULL);
  CHECK(strcmp(llmcore_outcome_name(-1), "unknown") == 0);

  client = make(0);
  llmcore_request_init(&request);
  CHECK(llmcore_client_submit(client, &request) == 0); /* it asks nothing */
  CHECK(llmcore_client_load_cache(client, "no cache", 8) != 0);
  llmcore_client_pump(client, 0);
  CHECK(llmcore_client_poll(client, &event, 1, 0) == 1);
  CHECK(event.kind == LLMCORE_EVENT_CACHE_LOADED && event.error.size > 0);
  CHECK(llmcore_client_save_cache(client, 1 << 20) != 0);
  llmcore_client_pump(client, 0);
  CHECK(llmcore_client_poll(client, &event, 1, 0) == 1);
  CHECK(event.kind == LLMCORE_EVENT_CACHE_SAVED && event.text.size == 20);
  llmcore_client_destroy(client);
}

/* A program built with an older header, whose structs end earlier. */
static void an_older_program_goes_on_working(void) {
  struct {
    size_t struct_size;
    const llmcore_message* messages;
    size_t message_count;
  } old;
  llmcore_message message = {LLMCORE_USER, "Hello"};
  struct {
    llmcore_event_kind kind;
    int32_t outcome;
    llmcore_source source;
    int32_t fallback;
    llmcore_call call;
  } events[4];
  struct {
    size_t struct_size;
    int64_t submitted;
    int64_t not_mine;
  } stats = {2 * sizeof(int64_t), 0, -7};
  llmcore_client* client = make(0);
  llmcore_call call;
  llmcore_request_init_sized((llmcore_request*)&old, sizeof old);
  CHECK(old.struct_size == sizeof old);
  old.messages = &message;
  old.message_count = 1;
  call = llmcore_client_submit(client, (const llmcore_request*)&old);
  CHECK(call != 0);
  llmcore_client_pump(client, 0);
  CHECK(llmcore_client_poll_sized(client, (llmcore_event*)events, sizeof events[0], 4, 0) == 2);
  CHECK(events[0].call == call && events[1].call == call);
  CHECK(events[1].kind == LLMCORE_EVENT_FINISHED);
  CHECK(llmcore_client_stats(client, (llmcore_stats*)&stats) == 1);
  CHECK(stats.submitted == 1 && stats.not_mine == -7);
  llmcore_client_destroy(client);
}

int main(void) {
  CHECK(strcmp(llmcore_version(), EXPECTED_VERSION) == 0);
  CHECK(llmcore_abi_version() == LLMCORE_ABI_VERSION);
  a_call_is_answered();
  the_worker_answers_by_itself();
  a_conversation_goes_with_a_request();
  what_is_wrong_is_said_and_crashes_nothing();
  an_older_program_goes_on_working();
  return failures;
}

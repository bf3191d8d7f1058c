"""What recording one call costs the thread that made it, in libraries that people use for that: without a server.

Run by ledger.py, each in a process of its own, in the peers' environment::

    python recorders.py langfuse|litellm COUNT BASE_URL

Prints one JSON object: microseconds of CPU per call of the calling thread, and of the whole process.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

MESSAGES = [{"role": "user", "content": "A traveller asks for a room and news from the north. " * 4}]


def langfuse(base_url: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Its SDK: a generation with input, output, usage and cost, exported by a thread of its own to a server that takes
    everything.
    """
    from langfuse import Langfuse  # type: ignore[import-not-found]

    client: Any = Langfuse(public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", host=base_url)

    def record(_: int) -> None:
        one = client.start_observation(name="chat", as_type="generation", model="gpt-4o-mini", input=MESSAGES)
        one.update(output="A room is free.", usage_details={"input": 50, "output": 6}, cost_details={"total": 0.000011})
        one.end()

    return record, client.flush


def litellm(base_url: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """What its completion() does once the answer is there, with one callback that keeps what it is given."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm as library  # type: ignore[import-not-found]
    from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found]
    from litellm.litellm_core_utils.litellm_logging import Logging  # type: ignore[import-not-found]

    kept: list[Any] = []

    class Keep(CustomLogger):  # type: ignore[misc]
        def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            kept.append(kwargs["standard_logging_object"])

    library.callbacks = [Keep()]
    answer = library.completion(model="gpt-4o-mini", messages=MESSAGES, mock_response="A room is free.")

    def record(number: int) -> None:
        began = datetime.now(UTC)
        log = Logging(
            model="gpt-4o-mini",
            messages=MESSAGES,
            stream=False,
            call_type="completion",
            start_time=began,
            litellm_call_id=str(number),
            function_id="benchmark",
        )
        log.update_environment_variables(
            model="gpt-4o-mini",
            user="",
            optional_params={},
            litellm_params={"metadata": {}},
            custom_llm_provider="openai",
        )
        log.success_handler(answer, began, datetime.now(UTC))

    def check() -> None:
        assert kept, "its callback was never called"

    return record, check


def main() -> None:
    name, count, base_url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    record, settle = {"langfuse": langfuse, "litellm": litellm}[name](base_url)
    for number in range(count // 10):
        record(number)
    settle()
    process, thread = time.process_time_ns(), time.thread_time_ns()
    for number in range(count):
        record(number)
    thread = time.thread_time_ns() - thread
    settle()
    process = time.process_time_ns() - process
    print(json.dumps({"thread_us": thread / count / 1000, "process_us": process / count / 1000}), flush=True)


if __name__ == "__main__":
    main()

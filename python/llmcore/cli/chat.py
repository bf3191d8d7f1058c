"""A conversation on the terminal."""

import sys
from collections.abc import Iterator

from llmcore.cli.text import say
from llmcore.client import LLMClient
from llmcore.config import Settings
from llmcore.conversation import ConversationMemory
from llmcore.errors import LLMError
from llmcore.ledger.tracker import UsageTracker
from llmcore.types import Money

__all__ = ["run_chat"]


def run_chat(provider: str | None, model: str | None, system: str, most: int, database: str | None) -> int:
    """Reads messages from standard input until it ends; returns the exit code: 1 if a message had no answer.

    Ctrl-C ends an answer, and the conversation where nothing is being answered.
    """
    settings = Settings() if provider is None else Settings(provider=provider)
    tracker = None if database is None else UsageTracker(database)
    memory = ConversationMemory(system, max_messages=most)
    failed, spent, unknown = False, 0, False
    try:
        with LLMClient(model=model, settings=settings, tracker=tracker) as client:
            say(f"{client.provider}/{client.model}; Ctrl-D ends")
            for text in _lines():
                cost = _answered(client, memory, text)
                failed = failed or cost is False
                if isinstance(cost, Money):
                    spent += cost.nano_usd
                else:
                    unknown = unknown or cost is None
    finally:
        if tracker is not None:
            tracker.close()
    say(f"{Money(spent)}{' and what has no known price' if unknown else ''}")
    return 1 if failed else 0


def _lines() -> Iterator[str]:
    asks = sys.stdin.isatty()
    while True:
        try:
            line = input("> ") if asks else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            return
        if not asks and not line:
            return
        if line.strip():
            yield line.strip()


def _answered(client: LLMClient, memory: ConversationMemory, text: str) -> Money | bool | None:
    """Streams the answer to a message; its cost, None if that is unknown, False if there is no answer."""
    turn = memory.turn(text)
    stream = client.stream(turn, call_type="chat")
    try:
        with stream:
            for chunk in stream:
                sys.stdout.write(chunk.text)
                sys.stdout.flush()
            response = stream.finish()
    except LLMError as error:
        sys.stdout.write("\n")
        say(f"llmcore: {error.message}")
        return False
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        say("interrupted: that message and its answer are forgotten")
        return False
    sys.stdout.write("\n")
    memory.add_turn(text, response)
    return response.cost

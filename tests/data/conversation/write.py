"""Writes cases.jsonl: conversations drawn at random, and what is kept of them."""

import json
import random
from pathlib import Path

from llmcore import ConversationMemory, ToolCall

WORDS = (
    "hello",
    "Der König",
    "42",
    "what?",
    "line\nbreak",
    "{'a': 1}",
    "日本語",
    "a longer sentence with several words",
    "",
)


def case(rng: random.Random) -> dict[str, object]:
    """One conversation."""
    system = rng.choice(["", "Be brief.", "You are a smith in a village of " + "many " * 20])
    most, most_tokens = rng.randint(1, 8), rng.choice([None, None, rng.randint(1, 150)])
    memory = ConversationMemory(system, most, max_tokens=most_tokens)
    steps: list[list[object]] = []
    for _ in range(rng.randint(0, 14)):
        said = " ".join(rng.choices(WORDS, k=rng.randint(0, 4)))
        kind = rng.choice(["user", "user", "assistant", "calls"])
        if kind == "user":
            memory.add_user(said)
            steps.append(["user", said])
        elif kind == "assistant":
            memory.add_assistant(said)
            steps.append(["assistant", said])
        else:
            ids = rng.choices(["a", "b", "c"], k=rng.randint(1, 3))
            memory.add_assistant(said, [ToolCall(one, "look", '{"at": "door"}') for one in ids])
            steps.append(["calls", said, list(ids)])
            rng.shuffle(ids)
            for one in ids:
                memory.add_tool_result(one, said[::-1])
                steps.append(["result", one, said[::-1]])
    if rng.random() < 0.2:
        memory.add_assistant("", [ToolCall("late", "look", '{"at": "door"}')])
        steps.append(["calls", "", ["late"]])
    kept = [[message["role"], message["content"]] for message in memory.get_messages()]
    return {
        "system": system,
        "max_messages": most,
        "max_tokens": most_tokens,
        "steps": steps,
        "messages": kept,
        "pending": memory.pending,
    }


if __name__ == "__main__":
    rng = random.Random(6)
    lines = [json.dumps(case(rng), ensure_ascii=False) for _ in range(150)]
    Path(__file__).with_name("cases.jsonl").write_text("\n".join(lines) + "\n")

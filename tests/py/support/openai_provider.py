"""The provider for Chat Completions with a key and a clock of its own, as its tests use it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from llmcore.providers.openai import OpenAIProvider
from llmcore.types import Failure, LLMRequest, Reply

GOLDEN = Path(__file__).parents[2] / "data" / "providers"
KEY = "sk-golden-key-000111222333"
NOON = 1780315200.0  # 2026-06-01 12:00:00 UTC
provider = OpenAIProvider(KEY, now=lambda: NOON)


def golden(name: str) -> pytest.MarkDecorator:
    """The cases of a file, as parameters."""
    cases = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def asking(**fields: Any) -> LLMRequest:
    return LLMRequest(**({"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields))


def reply_to(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    decoded = provider.decode(status, headers or {}, body)
    assert isinstance(decoded, Reply), decoded
    return decoded


def failure_from(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Failure:
    decoded = provider.decode(status, headers or {}, body)
    assert isinstance(decoded, Failure), decoded
    return decoded


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

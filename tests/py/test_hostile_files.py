"""Configuration files of any bytes: settings, or one clear error that names the file and no secret."""

import os
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from llmcore.config import Settings
from llmcore.errors import LLMConfigError

SECRET = "sk-do-not-show-this"
TOML = f"""
[limits]
requests_per_minute = 60
[providers.openai]
api_key = "{SECRET}"
base_url = "https://example.org/v1"
[[budgets]]
scope = "user=*"
period = "day"
limit_usd = 2.5
[cache]
enabled = true
ttl_seconds = 0.5
"""
JSON = (
    '{"limits": {"requests_per_minute": 60}, "providers": {"openai": {"api_key": "%s"}}, "budgets": '
    '[{"scope": "global", "limit_usd": 1e3}], "retry": {"jitter": 0.25}, "queue": {"high": {"capacity": 5}}}'
).replace("%s", SECRET)


def damaged(text: str) -> st.SearchStrategy[bytes]:
    """The text with a piece of it taken out, and something else put in."""
    raw = text.encode()
    places = st.integers(0, len(raw))
    pieces = st.binary(max_size=6) | st.sampled_from(
        [b'"', b"\n", b"[", b"]]", b"{", b"= nan", b"\0", b"\xff", b"[a]\n", b"-1"]
    )
    return st.builds(lambda a, b, piece: raw[: min(a, b)] + piece + raw[max(a, b) :], places, places, pieces)


@given(
    name=st.sampled_from(["llmcore.toml", "llmcore.json"]),
    content=st.binary(max_size=200)
    | damaged(TOML)
    | damaged(JSON)
    | st.integers(1, 3000).map(lambda depth: b"[" * depth)
    | st.integers(1, 3000).map(lambda depth: b'{"a":' * depth),
)
def test_any_file_gives_settings_or_one_clear_error(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with mock.patch.dict(os.environ, {"LLMCORE_CONFIG": str(path)}):
            told = ""
            try:
                Settings().engine_config()
            except LLMConfigError as error:
                told = str(error)
        assert SECRET not in told
        assert len(told) < 5_000

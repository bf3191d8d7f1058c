"""Secrets among the settings are never shown, dumped or pickled."""

import copy
import pickle
import traceback
from typing import Any

import pytest

from llmcore.config import Settings
from llmcore.errors import LLMConfigError
from support.settings import SECRET

DATABASE = "postgresql+psycopg://me:pass%40word@db.example/calls"


@pytest.fixture
def secretive() -> Settings:
    return Settings(openai_api_key=SECRET, openai_base_url="https://h", ledger={"url": DATABASE})


def test_no_secret_is_shown_or_dumped_or_pickled(secretive: Settings) -> None:
    shown = [
        repr(secretive),
        str(secretive),
        str(secretive.model_dump()),
        secretive.model_dump_json(),
        str(vars(secretive)),
    ]
    shown += [repr(pickle.dumps(secretive, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    shown += [repr(pickle.dumps(secretive.provider_settings("openai"))), repr(pickle.dumps(secretive.ledger))]
    for text in shown:
        assert SECRET not in text
        assert "pass%40word" not in text
    assert "db.example" in repr(secretive)


def test_copies_keep_the_secrets(secretive: Settings) -> None:
    for copied in (copy.copy(secretive), copy.deepcopy(secretive), secretive.model_copy()):
        assert copied == secretive
        assert copied.ledger.url == DATABASE


def test_unpickling_takes_secrets_from_the_environment_for_the_same_hosts_only(
    secretive: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(secretive)
    monkeypatch.setenv("OPENAI_API_KEY", "from-here")
    monkeypatch.setenv("LLMCORE_DATABASE_URL", DATABASE)
    elsewhere = pickle.loads(data)
    assert elsewhere.provider_settings("openai").api_key is None
    assert elsewhere.ledger.url == DATABASE
    monkeypatch.setenv("OPENAI_BASE_URL", "https://h")
    monkeypatch.setenv("LLMCORE_DATABASE_URL", DATABASE.replace("db.", "other."))
    same_host = pickle.loads(data)
    assert same_host.provider_settings("openai").api_key.get_secret_value() == "from-here"
    assert same_host.ledger.url == "postgresql+psycopg://me:***@db.example/calls"


@pytest.mark.parametrize(
    "arguments",
    [
        {"openai_api_key": SECRET + "\nX-Injected: 1"},
        {"openai_api_key": {"key": SECRET}},
        {"openai_api_key": [SECRET]},
        {"providers": {"openai": SECRET}},
        {"providers": SECRET},
        {"openai_base_url": SECRET},
        {"openai_base_url": f"https://me:{SECRET}@h"},
        {"openai_key": SECRET},
        {"provider": f"{SECRET} {SECRET}"},
        {"model": SECRET * 9},
        {"retry": {"jitter": SECRET}},
        {"ledger": {"url": f"postgres//me:{SECRET}@h"}},
        {"ledger": SECRET},
        {"ledger": {"url": "postgres//me:tiger"}},
        {"openai_api_key": "https://scott tiger"},
    ],
)
def test_an_error_never_tells_a_secret(arguments: dict[str, Any]) -> None:
    with pytest.raises(LLMConfigError) as caught:
        Settings(**arguments)
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "tiger" not in told
    assert caught.value.__context__ is None

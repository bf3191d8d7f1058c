"""Providers by name, and one of one's own."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from llmcore.config import Settings
from llmcore.errors import LLMConfigError
from llmcore.providers import base, registry
from llmcore.providers.offline import OfflineProvider
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.registry import create_provider, known_providers, register_provider
from llmcore.types import LLMRequest
from support.server import Answer, Request, ScriptedServer

REQUEST = LLMRequest("m", [{"role": "user", "content": "Hi"}])


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the machine, and no registration that outlives its test."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLMCORE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})


def test_openai_takes_key_and_url_from_settings() -> None:
    settings = Settings(openai_api_key="sk-from-settings", openai_base_url="https://gateway.example/v1")
    sent = create_provider("openai", settings).encode(REQUEST)
    assert sent.url == "https://gateway.example/v1/chat/completions"
    assert sent.headers["Authorization"] == "Bearer sk-from-settings"


def test_without_settings_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    sent = create_provider("openai").encode(REQUEST)
    assert (sent.url, sent.headers["Authorization"]) == (
        "http://127.0.0.1:1/v1/chat/completions",
        "Bearer sk-from-environment",
    )


def test_names_are_forgiving() -> None:
    assert isinstance(create_provider(" OpenAI "), OpenAIProvider)
    assert isinstance(create_provider("OFFLINE"), OfflineProvider)


def test_an_unknown_name_is_told_with_those_that_are_known() -> None:
    register_provider("my_own", lambda settings: OfflineProvider())
    with pytest.raises(
        LLMConfigError, match=r"no provider 'opnai'; known are anthropic, azure, .*, my-own, offline, ollama, openai, "
    ):
        create_provider("opnai")


def test_a_provider_of_ones_own_is_made_from_the_settings() -> None:
    seen: list[Settings] = []

    def make(settings: Settings) -> OpenAIProvider:
        seen.append(settings)
        return OpenAIProvider("key-0123", "http://127.0.0.1/v1", name="my-own")

    register_provider("My_Own", make)
    settings = Settings()
    assert create_provider("my-own", settings).name == "my-own"
    assert seen[0] is settings
    assert "my-own" in known_providers()


def test_a_class_of_ones_own_is_registered_as_it_is() -> None:
    class Needless(OfflineProvider):
        name = "needless"

    class Choosy(OfflineProvider):
        name = "choosy"

        def __init__(self, settings: Settings) -> None:
            self.settings = settings

    register_provider("needless", Needless)
    register_provider("choosy", Choosy)
    settings = Settings()
    assert type(create_provider("needless", settings)) is Needless
    made = create_provider("choosy", settings)
    assert isinstance(made, Choosy)
    assert made.settings is settings


@pytest.mark.parametrize("wrong", [None, 5, OfflineProvider()])
def test_what_is_no_name_and_no_factory_is_refused(wrong: Any) -> None:
    with pytest.raises(LLMConfigError, match="the name of a provider is a string"):
        create_provider(wrong)
    with pytest.raises(LLMConfigError, match="by its class or a function"):
        register_provider("mine", wrong)


@pytest.mark.parametrize("wrong", [5, ["x"], b"x"])
def test_a_key_and_an_address_are_strings(wrong: Any) -> None:
    with pytest.raises(LLMConfigError, match="the key of openai is a string"):
        OpenAIProvider(wrong)
    with pytest.raises(LLMConfigError, match="the base_url of openai is a string"):
        OpenAIProvider("key-0123", wrong)


def test_a_built_in_name_can_be_taken_over() -> None:
    register_provider("openai", lambda settings: OpenAIProvider("mine", "http://127.0.0.1/v1"))
    assert create_provider("openai").encode(REQUEST).headers["Authorization"] == "Bearer mine"


def test_a_factory_that_makes_something_else_is_refused() -> None:
    register_provider("other", lambda settings: OfflineProvider())
    with pytest.raises(LLMConfigError, match="registered as 'other'"):
        create_provider("other")
    register_provider("nothing", lambda settings: None)  # type: ignore[arg-type,return-value]
    with pytest.raises(LLMConfigError, match="registered as 'nothing'"):
        create_provider("nothing")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a b", "a\nb"])
def test_a_name_that_settings_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(LLMConfigError, match="is no name for a provider"):
        register_provider(name, lambda settings: OfflineProvider())


def test_an_installed_package_brings_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with an entry point, as pip would have unpacked it."""
    (tmp_path / "brought_along.py").write_text(
        textwrap.dedent("""
            from llmcore import OpenAIProvider
            def make(settings):
                return OpenAIProvider("key-0123", "http://127.0.0.1/v1", name="brought-along")
        """)
    )
    metadata = tmp_path / "brought_along-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brought-along\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[llmcore.providers]\nBrought_Along = brought_along:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert create_provider("brought-along").name == "brought-along"
    assert "brought-along" in known_providers()
    with pytest.raises(LLMConfigError, match=r"known are .*brought-along"):
        create_provider("left-behind")


def test_nobody_looks_for_entry_points_before_a_name_is_unknown() -> None:
    source = """
        import sys
        from llmcore import Settings, create_provider
        from llmcore.hosts import HOSTS
        settings = Settings()
        sys.modules["importlib.metadata"] = None  # which makes importing it an error
        print([name for name in HOSTS if create_provider(name, settings).name != name])
    """
    shown = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_the_offline_provider_needs_neither_settings_nor_http() -> None:
    source = """
        import sys
        from llmcore.providers.registry import create_provider
        create_provider("offline")
        print(sorted({"pydantic", "pydantic_settings", "pyreqwest", "openai"} & set(sys.modules)))
    """
    shown = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_only_a_local_provider_answers_by_itself() -> None:
    with pytest.raises(TypeError, match="'openai' is not local"):
        create_provider("openai").answer(REQUEST, None)


def test_the_example_of_a_provider_of_ones_own_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMCORE_DATABASE_URL", "none")
    text = base.__doc__ or ""
    example = textwrap.dedent(text[text.index("    import msgspec") : text.index("Retries, limits")])

    def plain_text(request: Request) -> Answer:
        return Answer(body=f"You said: {request.json['prompt']}".encode())

    with ScriptedServer(plain_text) as server:
        exec(example.replace("http://127.0.0.1:9000/answer", server.base_url), {})
    assert capsys.readouterr().out == "You said: Say hello.\n"
    assert len(example.splitlines()) <= 30

"""What every provider says of a request that it cannot send: a typed error that names what, and never a word of it."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore._core import Outcome
from llmcore.config import Settings
from llmcore.errors import LLMConfigError, LLMError, LLMValidationError
from llmcore.estimate import TokenEstimator
from llmcore.hosts import HOSTS
from llmcore.providers.anthropic import AnthropicProvider
from llmcore.providers.azure import AzureOpenAIProvider
from llmcore.providers.base import LLMProvider
from llmcore.providers.ollama import OllamaProvider
from llmcore.providers.openai import OpenAIProvider
from llmcore.providers.registry import create_provider
from llmcore.providers.responses import OpenAIResponsesProvider
from llmcore.types import EmbeddingRequest, HttpRequest, ImageRequest, LLMRequest

PNG, PDF, WAV = b"\x89PNG\r\n\x1a\n...", b"%PDF-1.7", b"RIFF\x00\x00\x00\x00WAVE"
PROVIDERS: dict[str, LLMProvider] = {
    "openai": OpenAIProvider("key-0123456789"),
    "responses": OpenAIResponsesProvider("key-0123456789"),
    "anthropic": AnthropicProvider("key-0123456789"),
    "azure": AzureOpenAIProvider("key-0123456789", "https://name.openai.azure.com"),
    "ollama": OllamaProvider("http://127.0.0.1:11434/api"),
    "mistral": OpenAIProvider("key-0123456789", host=HOSTS["mistral"]),
}


def asking(**fields: Any) -> LLMRequest:
    return LLMRequest(**({"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields))


def body_of(name: str, **fields: Any) -> dict[str, Any]:
    return dict(json.loads(PROVIDERS[name].encode(asking(**fields)).body))


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("anthropic", {"params": {"n": 2, "seed": 7}}, "Anthropic has no n and no seed"),
        ("anthropic", {"temperature": 1.5}, "temperature is from 0 to 1 at Anthropic, not 1.5"),
        ("anthropic", {"messages": [{"role": "system", "content": "x"}]}, "nothing but a system prompt"),
        ("anthropic", {"messages": [{"role": "user", "content": ""}]}, "messages[0] is empty"),
        ("anthropic", {"messages": [{"role": "user", "content": "x", "name": "Ada"}]}, "messages[0] has a name"),
        ("anthropic", {"messages": [{"role": "critic", "content": "x"}]}, "messages[0] has the role critic"),
        (
            "anthropic",
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
            'messages[0]["content"][0]: Anthropic has no input_audio',
        ),
        (
            "anthropic",
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "a system prompt is text",
        ),
        (
            "anthropic",
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": "{"}}]}]},
            'messages[0]["tool_calls"][0]: its arguments are not JSON',
        ),
        (
            "anthropic",
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": "[1]"}}]}]},
            "its arguments are not a JSON object",
        ),
        (
            "anthropic",
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "x"}}]}]},
            "is a call of no function",
        ),
        ("anthropic", {"messages": [{"role": "tool", "content": "x"}]}, "messages[0] has no id of a tool call"),
        ("anthropic", {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0] takes free text"),
        ("anthropic", {"tools": "x"}, "tools is a list, not str"),
        ("anthropic", {"params": {"tool_choice": "sometimes"}}, "tool_choice is"),
        ("anthropic", {"response_format": {"type": "grammar"}}, "response_format is of a type"),
        ("anthropic", {"response_format": {"type": "json_schema"}}, 'response_format["json_schema"]["schema"]'),
        ("responses", {"params": {"stop": "x", "seed": 1}}, "the Responses API has no seed and no stop"),
        ("responses", {"messages": [{"role": "critic", "content": "x"}]}, "messages[0] has the role critic"),
        ("responses", {"messages": [{"role": "user", "content": "x", "name": "Ada"}]}, "messages[0] has a name"),
        ("responses", {"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "has no video in messages"),
        ("responses", {"messages": [{"role": "user", "content": ""}]}, "messages[0] is empty"),
        ("responses", {"messages": [{"role": "tool", "content": "x"}]}, "messages[0] has no tool_call_id"),
        ("ollama", {"params": {"tool_choice": "auto"}}, "Ollama's own API has no tool_choice"),
        (
            "ollama",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]},
            "takes the bytes of a picture, not its URL",
        ),
        ("ollama", {"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "Ollama has no file"),
        ("ollama", {"params": {"reasoning_effort": "low"}}, "Ollama's own API has no reasoning_effort"),
        (
            "ollama",
            {"messages": [{"role": "user", "content": "x", "name": "Ada"}]},
            "messages[0] holds name",
        ),
        (
            "ollama",
            {"messages": [{"role": "assistant", "content": "x", "audio": {"id": "a"}}]},
            "messages[0] holds audio",
        ),
        ("mistral", {"params": {"logit_bias": {}}}, "mistral has no logit_bias"),
        ("openai", {"params": {"stream": True}}, "stream is not a param"),
        ("anthropic", {"params": {"stream": True}}, "stream is not a param"),
        ("responses", {"params": {"stream": True}}, "stream is not a param"),
        ("ollama", {"params": {"stream": True}}, "stream is not a param"),
    ],
)
def test_what_an_api_has_no_form_for_is_named(name: str, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(LLMValidationError) as caught:
        PROVIDERS[name].encode(asking(**fields))
    assert said in caught.value.message
    assert caught.value.outcome is Outcome.BAD_REQUEST


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(
    ["text", "image_url", "input_audio", "file", "image", "refusal", "reasoning", "tool_result", "x"]
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "type": kinds | json_values,
        "text": st.text(max_size=4) | json_values,
        "image_url": st.fixed_dictionaries({}, optional={"url": st.sampled_from([PNG, "https://x", 1])}) | json_values,
        "input_audio": st.fixed_dictionaries({}, optional={"data": st.sampled_from([WAV, PDF, "x"])}) | json_values,
        "file": st.fixed_dictionaries({}, optional={"file_data": st.sampled_from([PDF, b"", 1])}) | json_values,
    },
)
calls = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "type": st.sampled_from(["function", "custom"]) | json_values,
        "function": st.fixed_dictionaries({}, optional={"name": json_values, "arguments": json_values}) | json_values,
        "custom": json_values,
    },
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"])},
    optional={
        "content": st.text(max_size=4) | st.lists(parts | json_values, max_size=3) | json_values,
        "tool_calls": st.lists(calls | json_values, max_size=2) | json_values,
        "tool_call_id": json_values,
        "name": json_values,
        "refusal": json_values,
    },
)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@given(data=st.data())
def test_nothing_that_may_be_asked_raises_anything_else(name: str, data: st.DataObject) -> None:
    params = ("tool_choice", "response_format", "stop", "options", "system", "betas", "temperature", "tools", "user")
    request = asking(
        messages=data.draw(st.lists(messages | json_values, max_size=3)),
        tools=data.draw(st.none() | st.lists(calls | json_values, max_size=2) | json_values),
        response_format=data.draw(st.none() | json_values),
        params=data.draw(st.dictionaries(st.sampled_from(params), json_values, max_size=3)),
        stream=data.draw(st.booleans()),
    )
    before = repr(request)
    try:
        sent = PROVIDERS[name].encode(request)
    except LLMError:
        pass
    else:
        assert isinstance(json.loads(sent.body), dict)
    assert repr(request) == before


# --- media


def test_bytes_of_pictures_sound_and_files_become_text() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": PNG},
        {"type": "input_audio", "input_audio": {"data": WAV}},
        {"type": "input_audio", "input_audio": {"data": bytearray(b"raw"), "format": "mp3"}},
        {"type": "file", "file": {"file_data": memoryview(PDF), "filename": "a.pdf"}},
    ]
    sent = body_of("openai", messages=[{"role": "user", "content": content}])["messages"][0]["content"]
    assert sent[0]["image_url"] == {"url": "data:image/png;base64,iVBORw0KGgouLi4=", "detail": "low"}
    assert sent[1]["image_url"] == {"url": "data:image/png;base64,iVBORw0KGgouLi4="}
    assert sent[2]["input_audio"] == {"data": "UklGRgAAAABXQVZF", "format": "wav"}
    assert sent[3]["input_audio"] == {"data": "cmF3", "format": "mp3"}
    assert sent[4]["file"] == {"file_data": "data:application/pdf;base64,JVBERi0xLjc=", "filename": "a.pdf"}


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (PDF, "application/pdf"),
    ],
)
def test_the_kind_is_told_by_the_first_bytes(start: bytes, kind: str) -> None:
    picture = [{"type": "image_url", "image_url": {"url": start}}]
    sent = body_of("openai", messages=[{"role": "user", "content": picture}])
    assert sent["messages"][0]["content"][0]["image_url"]["url"].startswith(f"data:{kind};base64,")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "image_url", "image_url": {"url": b"?"}}, "bytes of no kind that is known"),
        ({"type": "input_audio", "input_audio": {"data": PDF}}, 'say its "format"'),
    ],
)
def test_bytes_of_no_known_kind_are_refused(part: dict[str, Any], said: str) -> None:
    with pytest.raises(LLMValidationError) as caught:
        body_of("openai", messages=[{"role": "user", "content": "x"}, {"role": "user", "content": ["x", part]}])
    assert said in caught.value.message
    assert 'messages[1]["content"][1]' in caught.value.message


def test_a_picture_is_estimated_alike_in_bytes_and_in_text() -> None:
    estimates = []
    for url in (PNG * 1000, "data:image/png;base64," + b64encode(PNG * 1000).decode()):
        request = asking(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
        estimates.append(TokenEstimator().prompt(request, len(PROVIDERS["openai"].encode(request).body)))
    assert abs(estimates[0].upper - estimates[1].upper) < 20
    assert estimates[0].upper < 3000


def test_a_picture_reaches_every_api_in_its_own_form() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]
    text = "iVBORw0KGgouLi4="
    assert body_of("anthropic", messages=picture)["messages"][0]["content"][0]["source"]["data"] == text
    assert body_of("responses", messages=picture)["input"][0]["content"][0]["image_url"].endswith(text)
    assert body_of("ollama", messages=picture)["messages"][0]["images"] == [text]


def test_a_refusal_goes_back_as_what_was_said() -> None:
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "refusal": "No."}]
    assert body_of("anthropic", messages=said)["messages"][1] == {"role": "assistant", "content": "No."}
    assert body_of("ollama", messages=said)["messages"][1] == {"role": "assistant", "content": "No."}
    assert body_of("responses", messages=said)["input"][1]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_ollama_hears_which_function_gave_which_result() -> None:
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")
    ]
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_g", "content": "2"},
        {"role": "tool", "tool_call_id": "call_f", "content": "1"},
    ]
    assert body_of("ollama", messages=messages)["messages"][2:] == [
        {"role": "tool", "tool_name": "g", "content": "2"},
        {"role": "tool", "tool_name": "f", "content": "1"},
    ]


def test_what_is_in_ollamas_own_form_passes_as_it_is() -> None:
    own = {"role": "user", "content": "What is it?", "images": ["aGk="], "thinking": "Hm."}
    called = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
    told = {"role": "tool", "content": "2"}
    assert body_of("ollama", messages=[own, called, told])["messages"] == [own, called, told]


def test_a_data_url_that_is_none_is_refused() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,plain"}}]}]
    for name in ("anthropic", "ollama"):
        with pytest.raises(LLMValidationError, match="a data URL in the messages"):
            body_of(name, messages=picture)


# --- limits by their names


@pytest.mark.parametrize(
    ("model", "url", "name"),
    [
        ("gpt-4o", "https://api.openai.com/v1", "max_completion_tokens"),
        ("gpt-4o", "https://gateway.example/v1", "max_tokens"),
        ("gpt-5-mini", "https://gateway.example/v1", "max_completion_tokens"),
        ("openai/o3", "https://gateway.example/v1", "max_completion_tokens"),
        ("o1", "https://gateway.example/v1", "max_completion_tokens"),
        ("gpt-oss-120b", "https://gateway.example/v1", "max_tokens"),
        ("olmo-2", "https://gateway.example/v1", "max_tokens"),
        ("o1", "https://api.openai.com.evil.example/v1", "max_completion_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_model_takes(model: str, url: str, name: str) -> None:
    sent = json.loads(OpenAIProvider("key-0123", url).encode(asking(model=model, max_tokens=5)).body)
    assert {key: value for key, value in sent.items() if key.startswith("max")} == {name: 5}


def test_a_limit_among_the_params_wins() -> None:
    assert body_of("openai", max_tokens=5, params={"max_tokens": 7})["max_tokens"] == 7
    assert body_of("anthropic", max_tokens=5, params={"max_tokens": 7})["max_tokens"] == 7
    assert body_of("responses", max_tokens=5, params={"max_output_tokens": 7})["max_output_tokens"] == 7


# --- vectors and pictures


@pytest.mark.parametrize("inputs", [[], "text", [""], [1], ["a", None]])
def test_inputs_that_are_no_texts_are_refused(inputs: Any) -> None:
    for name in ("openai", "ollama"):
        with pytest.raises(LLMValidationError, match="inputs"):
            PROVIDERS[name].encode_embeddings(EmbeddingRequest("m", inputs))


@pytest.mark.parametrize(("prompt", "n"), [("", 1), (1, 1), ("x", 0), ("x", 101), ("x", True), ("x", "2")])
def test_a_picture_of_nothing_is_refused(prompt: Any, n: Any) -> None:
    with pytest.raises(LLMValidationError):
        PROVIDERS["openai"].encode_image(ImageRequest("m", prompt, n=n))


def test_who_has_no_vectors_says_so() -> None:
    with pytest.raises(LLMError, match="anthropic has no embeddings") as caught:
        PROVIDERS["anthropic"].encode_embeddings(EmbeddingRequest("m", ["x"]))
    assert caught.value.outcome is Outcome.BAD_REQUEST
    with pytest.raises(LLMError, match="anthropic has no pictures"):
        PROVIDERS["anthropic"].encode_image(ImageRequest("m", "x"))


# --- keys and addresses


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.protocol != "offline"])
def test_every_host_is_made_from_its_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = HOSTS[name]
    for other in HOSTS.values():
        for variable in filter(None, (other.key_variable, other.url_variable)):
            monkeypatch.delenv(variable, raising=False)
    assert host.key_variable is not None
    assert host.url_variable is not None
    monkeypatch.setenv(host.key_variable, "key-of-the-environment")
    monkeypatch.setenv(host.url_variable, "https://elsewhere.example/v1")
    provider = create_provider(name, Settings())
    sent: HttpRequest = provider.encode(asking())
    assert provider.name == name
    assert sent.url.startswith("https://elsewhere.example/")
    assert any("key-of-the-environment" in value for value in sent.headers.values())
    assert "key-of-the-environment" not in repr(provider)
    assert "key-of-the-environment" not in repr(sent)


@pytest.mark.parametrize("name", [name for name, host in HOSTS.items() if host.protocol != "offline"])
def test_what_is_missing_is_told_by_its_variable(name: str) -> None:
    host, provider = HOSTS[name], create_provider(name, Settings())
    if host.free and host.base_url is not None:
        assert provider.encode(asking()).url.startswith("http://127.0.0.1:")
        far = create_provider(name, Settings(providers={name: {"base_url": "https://far.example"}}))
        assert "Authorization" not in far.encode(asking()).headers
        return
    with pytest.raises(LLMConfigError) as caught:
        provider.encode(asking())
    assert str(host.url_variable if host.base_url is None else host.key_variable) in caught.value.message


def test_betas_are_a_header() -> None:
    sent = PROVIDERS["anthropic"].encode(asking(params={"betas": ["a-1", "b-2"]}))
    assert sent.headers["anthropic-beta"] == "a-1,b-2"
    assert "betas" not in json.loads(sent.body)


@pytest.mark.parametrize("url", ["https://gate.example", "https://gate.example/", "https://gate.example/v1"])
def test_anthropics_address_may_have_its_version(url: str) -> None:
    assert AnthropicProvider("key-0123", url).encode(asking()).url == "https://gate.example/v1/messages"

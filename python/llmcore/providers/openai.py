"""Chat Completions: OpenAI's, and that of every server that speaks the same (vLLM, llama.cpp, Groq, Mistral, ...)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import msgspec

from llmcore import _core
from llmcore._core import Outcome, RateObservation
from llmcore.errors import LLMConfigError
from llmcore.providers import headers as read
from llmcore.providers.base import LLMProvider
from llmcore.providers.body import encode, refuse
from llmcore.providers.failure import failure_of, failure_of_error, parse
from llmcore.providers.usage import reported_cost, usage_of
from llmcore.types import Failure, HttpRequest, LLMRequest, Reply, ToolCall

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["OPENAI", "OpenAIProvider", "Preset", "decode_chat", "encode_chat"]


@dataclass(frozen=True, slots=True)
class Preset:
    """How one vendor's Chat Completions differ from the others'."""

    name: str
    base_url: str
    #: environment variable that settings read the key from; named where the key is missing
    key_variable: str
    #: hosts (and what is below them) that take max_completion_tokens, which their reasoning models insist on; all other
    #: servers get max_tokens, which the compatible ones know
    completion_limit_hosts: tuple[str, ...] = ()


OPENAI = Preset("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", ("api.openai.com", "openai.azure.com"))


class OpenAIProvider(LLMProvider):
    """Chat Completions over HTTP.

    :param api_key: may be missing where the URL leads to this machine or a private network
    :param base_url: with its version, as in "https://api.openai.com/v1"; a query stays at the end of the URL
    :param name: its name in settings, prices, limits and the ledger, where that is not the preset's
    :param now: Unix seconds; dates in Retry-After are measured against it
    :raises LLMConfigError: the key or the URL has a form that HTTP does not allow
    """

    def __init__(
        self,
        api_key: "str | SecretStr | None" = None,
        base_url: str | None = None,
        *,
        name: str | None = None,
        preset: Preset = OPENAI,
        now: Callable[[], float] = lambda: _core.now()[1] / 1e9,
    ) -> None:
        self.name = name or preset.name
        self._key = _checked_key(api_key, self.name)
        self._key_variable = preset.key_variable
        self._now = now
        parts = _checked_url(base_url or preset.base_url, self.name)
        path = parts.path.rstrip("/") + "/chat/completions"
        self._url = parts._replace(path=path).geturl()
        host = parts.hostname or ""
        self._shown = f"{parts.scheme}://{host}{parts.path}"
        self._may_lack_key = _is_near(host)
        takes_completion_limit = any(host == of or host.endswith("." + of) for of in preset.completion_limit_hosts)
        self._limit_name = "max_completion_tokens" if takes_completion_limit else "max_tokens"
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"llmcore/{_core.__version__}",
        }
        if self._key is not None:
            self._headers["Authorization"] = f"Bearer {self._key}"

    def encode(self, request: LLMRequest) -> HttpRequest:
        """The HTTP request.

        :raises LLMConfigError: no key, and the host is not a private one
        :raises LLMValidationError: something in the request cannot be sent
        """
        if self._key is None and not self._may_lack_key:
            problem = f"{self.name} has no key: set {self._key_variable}, or pass Settings(providers=...)"
            raise LLMConfigError(problem, outcome=Outcome.AUTH, provider=self.name)
        return HttpRequest(self._url, self._headers.copy(), encode_chat(request, self._limit_name))

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """The answer or the refusal in `body`. Never raises."""
        if status != 200:
            return failure_of(status, headers, body, key=self._key, now=self._now())
        return decode_chat(headers, body, key=self._key, now=self._now)

    def observe(self, headers: Mapping[str, str]) -> RateObservation | None:
        """x-ratelimit-remaining-* and x-ratelimit-reset-*."""
        return read.observation(headers)

    def canonical(self, request: LLMRequest) -> bytes:
        """The body: its keys are sorted."""
        return encode_chat(request, self._limit_name)

    def __repr__(self) -> str:
        return f"OpenAIProvider({self.name!r}, {self._shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the provider '{self.name}' holds a key and is not pickled; make it again from settings")


def encode_chat(request: LLMRequest, limit_name: str = "max_tokens") -> bytes:
    """The body of a Chat Completions request, keys sorted.

    :param limit_name: under which max_tokens goes, unless the request's params hold a limit of their own
    :raises LLMValidationError: something in it cannot be sent
    """
    params = request.params
    fields: dict[str, Any] = {"stream": False}
    if request.stream or params.get("stream"):
        refuse("stream is not for complete(): its answer comes in one piece")
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if request.max_tokens is not None and "max_tokens" not in params and "max_completion_tokens" not in params:
        fields[limit_name] = request.max_tokens
    if request.tools is not None:
        fields["tools"] = request.tools
    if request.response_format is not None:
        fields["response_format"] = request.response_format
    elif request.json_format:
        fields["response_format"] = {"type": "json_object"}
    return encode(request, fields)


class _Message(msgspec.Struct):
    content: Any = None
    tool_calls: Any = None
    reasoning: Any = None
    reasoning_content: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: Any = None
    error: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: Any = None
    created: Any = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)


def decode_chat(
    headers: Mapping[str, str], body: bytes, *, key: str | None, now: Callable[[], float]
) -> Reply | Failure:
    """A Chat Completions answer with status 200, which may still hold an error. Never raises."""
    try:
        answer = _answer.decode(body)
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        try:
            answer = msgspec.convert(parse(body), _Answer)
        except (ValueError, RecursionError):
            return failure_of(200, headers, body, key=key, now=now())
    choice = answer.choices[0] if answer.choices else None
    if choice is None or choice.message is None or (choice.error and not choice.message.content):
        error = answer.error or (choice.error if choice is not None else None)
        return failure_of_error(200, headers, error, "the answer holds no message", key=key, now=now())
    message = choice.message
    content = message.content
    reasoning = message.reasoning_content or message.reasoning
    if type(content) is not str:
        content, thoughts = _joined(content)
        reasoning = reasoning or thoughts
    created = answer.created
    return Reply(
        content,
        answer.model if type(answer.model) is str else "",
        usage_of(answer.usage),
        choice.finish_reason if type(choice.finish_reason) is str else "",
        _tool_calls(message.tool_calls) if message.tool_calls else [],
        reasoning if type(reasoning) is str else "",
        reported_cost(answer.usage),
        int(created) if type(created) in (int, float) and 0 < created < 1 << 40 else None,
        read.request_id(headers, key),
    )


def _joined(content: Any) -> tuple[str, str]:
    """(text, reasoning) of a content that is a list of parts, or null."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if type(content) is list else ():
        if type(part) is str:
            texts.append(part)
        elif type(part) is dict:
            if part.get("type") in ("text", "output_text"):
                texts.append(_text(part.get("text")))
            elif part.get("type") == "thinking":
                inner = part.get("thinking")
                thoughts.append(inner if type(inner) is str else _joined(inner)[0])
    return "".join(texts), "".join(thoughts)


def _tool_calls(raw: Any) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for call in raw if type(raw) is list else ():
        if type(call) is not dict:
            continue
        kind = call.get("type")
        kind = kind if type(kind) is str and kind else "function"
        called = call.get("function") or call.get(kind)  # "custom" tools stand under their own name
        called = called if type(called) is dict else {}
        arguments = called.get("arguments", called.get("input"))
        if type(arguments) is not str:  # some servers send the object itself
            arguments = "" if arguments is None else msgspec.json.encode(arguments).decode()
        calls.append(ToolCall(_text(call.get("id")), _text(called.get("name")), arguments, kind))
    return calls


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _checked_key(given: "str | SecretStr | None", name: str) -> str | None:
    key = given if given is None or isinstance(given, str) else given.get_secret_value()
    if key is None or not key.strip():
        return None
    if not re.fullmatch(r"[!-~]+", key.strip()):
        raise LLMConfigError(f"the key of {name} is not as a provider gives it: ASCII, no blanks, no line breaks")
    return key.strip()


def _checked_url(url: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a port that is no number, a bracket that is not closed
        usable = None
        parts = SplitResult("", "", "", "", "")
    if not usable or parts.fragment or not re.fullmatch(r"[!-~]+", url.strip()):
        problem = 'is not the URL of an API, such as "https://api.openai.com/v1" (http or https, no user name, no "#")'
        raise LLMConfigError(f"the base_url of {name} {problem}")
    return parts


def _is_near(host: str) -> bool:
    """Whether it is this machine or one of a private network, where servers often want no key."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return address.is_private or address.is_loopback or address.is_link_local

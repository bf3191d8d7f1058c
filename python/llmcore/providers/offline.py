"""Answers without a model: template text, the same for the same request, in the shape of a Chat Completions answer."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from llmcore._core import OfflineGenerator, offline_problem, sha256
from llmcore.errors import LLMValidationError
from llmcore.estimate import TokenEstimator
from llmcore.hosts import HOSTS
from llmcore.providers.base import LLMProvider
from llmcore.providers.body import refuse
from llmcore.providers.chat import decode_chat, encode_chat
from llmcore.providers.chat_stream import ChatStream
from llmcore.providers.failure import failure_of
from llmcore.providers.offline_pieces import pictures, vectors
from llmcore.providers.offline_schema import fill
from llmcore.providers.pieces import encode_embeddings, encode_image
from llmcore.types import EmbeddingRequest, Failure, HttpRequest, ImageRequest, LLMRequest, Reply

if TYPE_CHECKING:
    from llmcore.providers.stream import StreamDecoder

__all__ = ["OfflineProvider"]

_PROBLEMS = ("general", "dialogue", "decision", "analysis", "summary", "conflict", "shortage", "danger")
_generator = OfflineGenerator()
_estimator = TokenEstimator()


class OfflineProvider(LLMProvider):
    """The provider that always answers, inside the process and free of charge.

    What the text is about follows from the call type, and may be said in the request's params: ``problem`` (general,
    dialogue, decision, analysis, summary, conflict, shortage, danger), ``severity`` (0 to 1000, 500 if not given) and
    ``placeholders`` (a dict of strings that stand in for {names} in the text). A request for JSON gets an object with
    text, problem and severity; one with a JSON schema gets a value that fits it, and one that insists on a tool gets a
    call of that tool with arguments that fit. Texts get vectors of length 1, and prompts PNG files: both drawn from a
    digest.
    """

    name = "offline"
    local = True
    host = HOSTS["offline"]

    def encode(self, request: LLMRequest) -> HttpRequest:
        """No request at all, but its body is the request's identity, as everywhere.

        :raises LLMValidationError: something in the request could not be sent to any provider, or a param is wrong
        """
        _wishes(request, None)
        return HttpRequest("offline:", {}, encode_chat(_in_one_piece(request)))

    def encode_embeddings(self, request: EmbeddingRequest) -> HttpRequest:
        """No request at all, but its body is the request's identity."""
        return HttpRequest("offline:", {}, encode_embeddings(request, base64=False))

    def encode_image(self, request: ImageRequest) -> HttpRequest:
        """No request at all, but its body is the request's identity."""
        return HttpRequest("offline:", {}, encode_image(request))

    def answer(self, request: LLMRequest, call_type: str | None) -> bytes:
        """The answer's body: that of a stream, a word an event, where the request wants one.

        Params that encode() would refuse count as absent: in a chain they may be another's.
        """
        try:
            problem, severity, placeholders = _wishes(request, call_type)
        except LLMValidationError:
            problem, severity, placeholders = offline_problem(call_type or ""), 500, {}
        asked = encode_chat(_in_one_piece(request))
        digest = sha256(asked)
        wanted = request.params.get("response_format", request.response_format)
        as_json = request.json_format or _wants_json(wanted)
        tool = None if request.stream else _forced_tool(request)
        schema = _schema_of(wanted) if tool is None else tool[1]
        text = None if schema is None else _filled(schema, digest, problem, severity, placeholders)
        if text is None:
            as_json = as_json or tool is not None
            text = _generator.generate(problem, severity, int.from_bytes(digest[:8]), placeholders, as_json)
        prompt, completion = _estimator.prompt(request, len(asked)).expected, _estimator.output(text)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        id = f"offline-{digest[:12].hex()}"
        if request.stream:
            common = {"id": id, "object": "chat.completion.chunk", "created": 0, "model": request.model}
            return _events(text, common, usage)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if tool is not None:
            called = {"id": f"call_{digest[:6].hex()}", "type": "function"}
            message |= {"content": None, "tool_calls": [{**called, "function": {"name": tool[0], "arguments": text}}]}
        return msgspec.json.encode(
            {
                "id": id,
                "object": "chat.completion",
                "created": 0,
                "model": request.model,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    def answer_other(self, request: EmbeddingRequest | ImageRequest) -> bytes:
        """The body with vectors or pictures."""
        return vectors(request) if isinstance(request, EmbeddingRequest) else pictures(request)

    def stream_decoder(self, headers: Mapping[str, str] | None = None) -> "StreamDecoder":
        """Of what answer() says to a request for a stream."""
        return ChatStream(self, headers, host=HOSTS["openai"], key=None, now=lambda: 0.0)

    def decode(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
        """What answer() said. Never raises."""
        if status != 200:
            return failure_of(status, headers, body, key=None, now=0.0)
        return decode_chat(headers, body, key=None, now=lambda: 0.0)

    def __repr__(self) -> str:
        return "OfflineProvider()"


def _events(text: str, common: dict[str, Any], usage: dict[str, int]) -> bytes:
    choices: list[dict[str, Any]] = [
        {"delta": {"content": word}, "finish_reason": None} for word in re.findall(r"\s*\S+\s*$|\s*\S+", text)
    ]
    choices.append({"delta": {}, "finish_reason": "stop"})
    events = [{**common, "choices": [{"index": 0, **choice}]} for choice in choices]
    events.append({**common, "choices": [], "usage": usage})
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def _in_one_piece(request: LLMRequest) -> LLMRequest:
    """A stream has the text that the whole answer has."""
    return msgspec.structs.replace(request, stream=False) if request.stream else request


def _wishes(request: LLMRequest, call_type: str | None) -> tuple[str, int, dict[str, str]]:
    """(problem, severity, placeholders)"""
    params = request.params
    problem = params.get("problem")
    if problem is None:
        problem = offline_problem(call_type or "")
    elif problem not in _PROBLEMS:
        refuse(f"problem is one of {', '.join(_PROBLEMS)}")
    severity = params.get("severity", 500)
    if type(severity) is not int:
        refuse(f"severity is a whole number from 0 to 1000, not {type(severity).__name__}")
    placeholders: Any = params.get("placeholders") or {}
    if not isinstance(placeholders, dict) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in placeholders.items()
    ):
        refuse("placeholders is a dict of strings to strings")
    return problem, min(max(severity, 0), 1000), placeholders


def _wants_json(response_format: Any) -> bool:
    return isinstance(response_format, dict) and response_format.get("type") in ("json_object", "json_schema")


def _filled(
    schema: dict[str, Any], digest: bytes, problem: str, severity: int, placeholders: dict[str, str]
) -> str | None:
    """A value for the schema as JSON; None if it is no schema that can be filled."""

    def sentence(number: int) -> str:
        told = _generator.generate(problem, severity, number, placeholders, False)
        return re.split(r"(?<=[.!?])\s", told, maxsplit=1)[0]

    try:
        return msgspec.json.encode(fill(schema, digest, sentence)).decode()
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def _schema_of(response_format: Any) -> dict[str, Any] | None:
    inner = response_format.get("json_schema") if isinstance(response_format, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None


def _forced_tool(request: LLMRequest) -> tuple[str, dict[str, Any]] | None:
    """(name, schema of its arguments) of the tool that the request insists on."""
    choice = request.params.get("tool_choice")
    chosen = choice.get("function") if isinstance(choice, dict) else None
    name = chosen.get("name") if isinstance(chosen, dict) else None
    for tool in request.params.get("tools", request.tools) or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and name is not None and function.get("name") == name:
            return name, function.get("parameters") or {"type": "object"}
    return None

"""How many tokens a prompt will be, before anybody has counted them.

No tokenizer is asked. A prompt is measured by what drives tokens in all of them: text by its letters, spaces, digits,
marks and bytes of other scripts; messages and tools by the piece and by what they say; media by the piece. Around that
comes what a family of models puts into its chat template. What a model does otherwise is learned from the usage that
its answers report.

Everything is integers, in thousandths of a token where it is not whole tokens: the same observations in the same order
give the same estimates on every platform.
"""

import threading
from copy import copy
from functools import lru_cache
from typing import Any, Final

import msgspec

from llmcore._core import plain_weight, text_weight
from llmcore.types import Message, Reply, Request, Usage

__all__ = ["PromptSize", "TokenEstimate", "TokenEstimator", "fill_in"]

_MOST_MODELS: Final = 256
# A model may change under its name, so that nothing is ever certain.
_LEAST_BASE, _LEAST_SCALE = 750**2, 15**2
_ENOUGH: Final = 32  # corrections of a model, after which it is well known
_FADED: Final = 10_000
_LEAP: Final = 50_000  # tokens: what is claimed beyond that is not believed at once, and not reserved for
_LONG: Final = 200  # tokens of text

# A tool's schema: its names and descriptions count by their bytes; JSON's marks, and the words that each schema has,
# do not.
_TOOL, _ARGUMENT, _TOOL_BYTE, _CALL = 6_000, 9_000, 150, 5_000
_JSON_MARKS: Final = b'{}[]:,"'
_JSON_WORDS: Final = tuple(
    (word, len(word.translate(None, _JSON_MARKS)))
    for word in (
        b'"type":"function"',
        b'"function":',
        b'"name":',
        b'"description":',
        b'"parameters":',
        b'"properties":',
        b'"additionalProperties":false',
        b'"required":',
        b'"type":"object"',
        b'"strict":true',
        b'"title":',
        b'"json_schema":',
        b'"schema":',
        b'"type":"json_schema"',
    )
)

_NO_ARGUMENTS: Final = (b'"type":"function"', b'"type":"object"', b'"type":"json_schema"')

# Media: (what to expect, what it can be). A picture of 1024 x 1024 at high detail is 765 tokens at OpenAI; what a file
# can be grows with it. Pages that a provider's own search brings into the prompt are thousands.
_MEDIA: Final = {
    "image_url": (300_000, 2_000_000),
    "input_image": (300_000, 2_000_000),
    "image": (300_000, 2_000_000),
    "input_audio": (50_000, 1_000_000),
    "file": (250_000, 2_000_000),
    "input_file": (250_000, 2_000_000),
    "document": (250_000, 2_000_000),
    "document_url": (300_000, 2_000_000),
}
_UNKNOWN_MEDIUM: Final = (250_000, 2_000_000)
_FILE_BYTE: Final = 150
_UNKNOWN_BYTE: Final = 333
_OTHER_MODEL: Final = 1_000_000

_replaced: Final = msgspec.structs.replace
_SEARCH: Final = 8_000_000
_SEARCHING: Final = ("web_search_options", "plugins", "search_parameters")


class PromptSize(msgspec.Struct, frozen=True, gc=False):
    """A prompt as it was measured, in thousandths of a token of a model that adds nothing; `messages` are counted."""

    messages: int
    text: int
    tools: int
    media: int
    #: what the media and searches in it can come to beyond that
    risk: int


class TokenEstimate(msgspec.Struct, frozen=True, gc=False):
    """Prompt tokens: what to expect, and what to reserve."""

    expected: int
    upper: int
    #: what it comes from; None: counted otherwise, and there is nothing to learn from it
    size: PromptSize | None = None


class _Model(msgspec.Struct, gc=False):
    """What is known of a model; never changed once others can see it. Weights are in thousandths, of a token or of
    what was measured; each has its variance, by which a surprise is put down to it.
    """

    base: int
    per_message: int
    tools_base: int
    text: int
    tools: int
    media: int
    base_variance: int
    tools_base_variance: int
    text_variance: int
    tools_variance: int
    media_variance: int
    #: how far an answer was above what was expected, fading
    worst: int
    #: what it may do on its own
    risk: int = 0
    #: how often it was corrected, and by how much the last time
    corrections: int = 0
    surprise: int = 0


def _family(
    base: int, per_message: int, tools_base: int, text: int = 1_000, tools: int = 1_000, *, certain: bool = False
) -> _Model:
    """What its chat template adds, in tokens: to a prompt, to each message, and to a prompt with tools."""
    variances = (6_000**2, (15_000 if certain else 150_000) ** 2, 100**2, 300**2, 500**2)
    return _Model(base * 1_000, per_message * 1_000, tools_base * 1_000, text, tools, 1_000, *variances, 0)


# By a part of a model's name, the first that fits. The rest are taken for OpenAI's.
_FAMILIES: Final = (
    ("gpt-oss", _family(67, 4, 15, 1_000, 1_100)),
    ("llama-4", _family(4, 4, 660)),
    ("llama-3.3", _family(30, 4, 100, 1_000, 1_700)),
    ("llama3.3", _family(30, 4, 100, 1_000, 1_700)),
    ("llama", _family(5, 5, 100, 1_000, 1_700)),
    ("claude", _family(7, 1, 510, 1_050, 1_300)),
    ("gemini", _family(0, 1, 0, 1_000, 500)),
    ("deepseek", _family(3, 1, 100, 1_000, 1_700)),
    ("qwen", _family(8, 4, 150, 1_000, 1_700)),
    ("glm", _family(6, 2, 150, 1_000, 1_700)),
    ("stral", _family(3, 1, 15, 1_030, 1_300)),
    ("compound", _replaced(_family(5_000, 4, 0), risk=15_000)),
)
_OPENAI: Final = _family(3, 4, 9, certain=True)
_GPT_5: Final = _family(2, 4, 88, certain=True)


class TokenEstimator:
    """Estimates prompts, and learns from what they turned out to be. Thread-safe; remembers the last 256 models.

    Measuring costs O(bytes of text), some nanoseconds each; learning is constant, and a comparison where the estimate
    was right.
    """

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()

    def prompt(self, request: Request, body_bytes: int) -> TokenEstimate:
        """The tokens of a request.

        :param body_bytes: length of the encoded request, UTF-8: what in it is of no known form is reserved for
        """
        params, tools, wanted = request.params, request.tools, request.response_format
        if params:
            tools = tools or params.get("tools") or params.get("functions")
            wanted = wanted or params.get("response_format")
        size = _measure(request.messages, tools, wanted)
        # More than the longest words and the wordiest schemas come to.
        unexplained = body_bytes - size.text // 100 - size.tools // 40 - size.messages * 64 - 512
        if unexplained > 0 and size.media:
            unexplained -= sum(map(_media_bytes, request.messages))
        if unexplained > 0:
            size = _replaced(size, risk=size.risk + unexplained * _UNKNOWN_BYTE)
        if params:
            if not params.keys().isdisjoint(_SEARCHING):
                size = _replaced(size, risk=size.risk + _SEARCH)
            if "models" in params:  # of which another may answer, with what it adds
                size = _replaced(size, risk=size.risk + _OTHER_MODEL)
        return self._estimate(request.model, size)

    def for_model(self, estimate: TokenEstimate, model: str) -> TokenEstimate:
        """The estimate of the same prompt for another model."""
        return estimate if estimate.size is None else self._estimate(model, estimate.size)

    def messages(self, messages: list[Message]) -> int:
        """What messages alone come to, as a part of a prompt for no model in particular; rounded up, so that parts
        never come to less than the whole.
        """
        size = _measure(messages, None, None)
        return -(-(size.messages * _OPENAI.per_message + size.text + size.media) // 1_000)

    def output(self, content: str) -> int:
        """Tokens of an answer that came without usage."""
        return (len(content.encode("utf-8", "replace")) + 3) // 4

    def learn(self, model: str, estimate: TokenEstimate, usage: Usage) -> None:
        """Takes note of what a prompt turned out to be. Usage that is itself an estimate teaches nothing."""
        tokens, size = usage.input_tokens, estimate.size
        if size is None or tokens <= 0:
            return
        off = abs(estimate.expected - tokens)
        known = self._models.get(model)
        # Two per cent are as near as it gets; of a model that is well known, the next three are noise.
        if off * 50 <= tokens or (known is not None and known.corrections >= _ENOUGH and off * 20 <= tokens):
            if known is None or known.worst < _FADED:
                return
            change = _faded
        else:
            change = _corrected
        if usage.estimated:
            return
        with self._lock:
            known = self._models.pop(model, None) or _family_of(model)
            if len(self._models) >= _MOST_MODELS:
                del self._models[next(iter(self._models))]
            self._models[model] = change(known, size, min(tokens, 4 * estimate.expected + _LEAP) * 1_000)

    def _estimate(self, model: str, size: PromptSize) -> TokenEstimate:
        known = self._models.get(model) or _family_of(model)
        expected = max((_expected(known, size) + 500) // 1_000, 1)
        margin = known.risk + 40 + expected // 3 + (size.risk + known.worst) // 1_000 + (150 if size.tools else 0)
        return TokenEstimate(expected, expected + margin, size)


def fill_in(estimator: TokenEstimator, reply: Reply, request: Request, body_bytes: int) -> None:
    """Estimates the usage that an answer does not tell: what was written is never nothing."""
    usage = reply.usage
    if usage.input_tokens == 0:
        usage.input_uncached = estimator.prompt(request, body_bytes).expected
    if usage.output_tokens == 0 and type(reply) is Reply:  # vectors and pictures are no text
        written = (reply.content, reply.reasoning, reply.refusal, *(call.arguments for call in reply.tool_calls))
        usage.output_text = max(sum(map(estimator.output, written)), 1)


@lru_cache(_MOST_MODELS)
def _family_of(model: str) -> _Model:
    for part, family in _FAMILIES:
        if part in model:
            return family
    return _GPT_5 if model.startswith("gpt-5") else _OPENAI


def _expected(known: _Model, size: PromptSize) -> int:
    expected = known.base + known.per_message * size.messages + size.text * known.text // 1_000
    if size.tools:
        expected += known.tools_base + size.tools * known.tools // 1_000
    if size.media:
        expected += size.media * known.media // 1_000
    return expected


def _corrected(known: _Model, size: PromptSize, actual: int) -> _Model:
    """What is known after one more observation: a Kalman filter whose weights are taken to be independent. Those that
    had no part in it stay as they are.
    """
    error = actual - _expected(known, size)
    text = size.text // 1_000
    new = copy(known)
    # A surprise far beyond what is uncertain is rather an exception, and moves little. Once it is repeated it is not:
    # the model is another than was thought, by its template or, if the text is long, by its tokenizer.
    surprise = (error // 2) ** 2
    if known.surprise * error > 0 and abs(error) <= 2 * abs(known.surprise):
        if text >= _LONG:
            new.text_variance += surprise // text**2
        elif size.tools:
            new.tools_base_variance += surprise
        else:
            new.base_variance += surprise
        surprise = 0
    new.surprise = error
    base_part, text_part = new.base_variance, new.text_variance * text
    total = 1_500**2 + (actual // 16) ** 2 + surprise + base_part + text_part * text
    tools_base_part = tools_part = media_part = 0
    if size.tools:
        tools = size.tools // 1_000
        tools_base_part, tools_part = new.tools_base_variance, new.tools_variance * tools
        total += tools_base_part + tools_part * tools
    if size.media:
        media = size.media // 1_000
        media_part = known.media_variance * media
        total += media_part * media
    if size.tools:
        new.tools_base += error * tools_base_part // total
        new.tools = max(known.tools + error * tools_part // total, 0)
        new.tools_base_variance = max(tools_base_part - tools_base_part * tools_base_part // total, _LEAST_BASE)
        new.tools_variance = max(known.tools_variance - tools_part * tools_part // total, _LEAST_SCALE)
    if size.media:
        new.media = max(known.media + error * media_part // total, 0)
        new.media_variance = max(known.media_variance - media_part * media_part // total, _LEAST_SCALE)
    new.base += error * base_part // total
    new.text = max(known.text + error * text_part // total, 100)
    new.base_variance = max(base_part - base_part * base_part // total, _LEAST_BASE)
    new.text_variance = max(new.text_variance - text_part * text_part // total, _LEAST_SCALE)
    new.worst = max(known.worst * 15 // 16, error)
    new.corrections += 1
    return new


def _faded(known: _Model, size: PromptSize, actual: int) -> _Model:
    new = copy(known)
    new.worst = known.worst * 15 // 16
    return new


# --- measuring
# --------------------------------------------------------------------------------------------------------------------


def _measure(messages: list[Message], tools: Any, response_format: Any) -> PromptSize:
    text, media, risk = plain_weight(messages), 0, 0
    if text < 0:
        text, media, risk = _measured(messages)
    schemas = 0
    if tools and isinstance(tools, list):
        schemas, found = _schemas(tools, len(tools))
        risk += found
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        schemas += _schemas(response_format, 1)[0]
    return PromptSize(len(messages), text, schemas, media, risk)


def _measured(messages: list[Message]) -> tuple[int, int, int]:
    """(text, media, risk) of messages that are not plain text."""
    text = media = risk = 0
    for message in messages:
        content = message.get("content")
        if type(content) is str:
            text += _text(content)
        elif isinstance(content, list):
            for part in content:
                if not isinstance(part, dict):
                    continue
                kind = part.get("type")
                said = part.get("text")
                if isinstance(said, str):
                    text += _text(said)
                elif isinstance(kind, str):
                    expected, upper = _MEDIA.get(kind, _UNKNOWN_MEDIUM)
                    media += expected
                    risk += upper + (_bytes_in(part) * _FILE_BYTE if "image" not in kind else 0)
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else (message.get("function_call"),):
            if isinstance(call, dict):
                text += _CALL + _text_in(call)
    return text, media, risk


def _text(text: str) -> int:
    try:
        return text_weight(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return text_weight(text.encode("utf-8", "replace").decode())


def _text_in(call: dict[str, Any]) -> int:
    """The name and what it is called with."""
    called = call.get("function") or call.get("custom") or call
    return sum(_text(said) for said in called.values() if isinstance(said, str)) if isinstance(called, dict) else 0


def _media_bytes(message: Message) -> int:
    content = message.get("content")
    return sum(_bytes_in(part) for part in content if isinstance(part, dict)) if isinstance(content, list) else 0


def _bytes_in(value: Any) -> int:
    """Of JSON: bytes go out as base64."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return (memoryview(value).nbytes + 2) // 3 * 4
    if isinstance(value, dict):
        return sum(_bytes_in(part) for part in value.values())
    return 0


def _schemas(value: Any, count: int) -> tuple[int, int]:
    """(what schemas come to, what a search among them can come to)"""
    try:
        data = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):  # which encoding the request tells better
        return _TOOL * count, 0
    left = len(data.translate(None, _JSON_MARKS))
    for word, length in _JSON_WORDS:
        left -= data.count(word) * length
    arguments = data.count(b'"type":') - sum(map(data.count, _NO_ARGUMENTS))
    weight = _TOOL * count + arguments * _ARGUMENT + max(left, 0) * _TOOL_BYTE
    return weight, _SEARCH if _any_of_the_providers(value) else 0


def _any_of_the_providers(tools: Any) -> bool:
    """Whether the provider itself runs one of these tools, whose results come into the prompt."""
    if not isinstance(tools, list):
        return False
    return any(isinstance(tool, dict) and tool.get("type", "function") not in ("function", "custom") for tool in tools)

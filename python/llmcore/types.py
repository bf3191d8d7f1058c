"""The values that pass between an application, a provider and the ledger.

Everything here is plain data. Money is integer nano-US-dollars and time is integer nanoseconds wherever a decision or
a sum depends on them; the familiar views (dollars, milliseconds) are derived. What is made on every call, and not by
users, is a msgspec Struct: cheap to make, and no burden to the garbage collector while it waits for the ledger.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from llmcore._core import AttemptRecord, Outcome, Priority, Source, Usage, to_micro_usd
from llmcore.provider_values import (
    Chunk,
    Citation,
    EmbeddingReply,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    HttpResponse,
    Image,
    ImageReply,
    ImageRequest,
    LLMRequest,
    Message,
    Reply,
    Request,
    ToolCall,
    ToolCallDelta,
)

__all__ = [
    "BUDGET_KEYS",
    "AttemptRecord",
    "CallContext",
    "CallRecord",
    "Chunk",
    "Citation",
    "EmbeddingReply",
    "EmbeddingRequest",
    "Failure",
    "HttpRequest",
    "HttpResponse",
    "Image",
    "ImageReply",
    "ImageRequest",
    "LLMCallStatusEnum",
    "LLMCallTypeEnum",
    "LLMRequest",
    "LLMResponse",
    "Message",
    "Money",
    "Outcome",
    "Priority",
    "Reply",
    "Request",
    "Sink",
    "Source",
    "Texts",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "total_cost",
]


class LLMCallTypeEnum(StrEnum):
    """The known call types. ``call_type`` itself is an open string: any other value is as good."""

    CHAT = "chat"
    RAG_QUERY = "rag_query"
    RAG_SYNTHESIS = "rag_synthesis"
    SENTIMENT_ANALYSIS = "sentiment_analysis"
    SUMMARIZATION = "summarization"
    EMBEDDING = "embedding"
    CLASSIFICATION = "classification"
    EXTRACTION = "extraction"
    SYSTEM = "system"
    OTHER = "other"
    PLAYER_DECISION = "player_decision"
    COMMENTARY = "commentary"
    CHAT_SUGGESTION = "chat_suggestion"
    TARGETED_CHAT = "targeted_chat"
    PERSONALITY_GENERATION = "personality_generation"
    PERSONALITY_PREVIEW = "personality_preview"
    IMAGE_GENERATION = "image_generation"
    IMAGE_DESCRIPTION = "image_description"


class LLMCallStatusEnum(StrEnum):
    """How a call stands in the ledger."""

    PENDING = "pending"
    SUCCESS = "success"
    CACHED = "cached"
    FALLBACK = "fallback"
    ERROR = "error"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    LOST = "lost"


class Money(msgspec.Struct, frozen=True, order=True, gc=False):
    """An amount in integer nano-US-dollars (10^-9 USD). Adds and compares exactly."""

    nano_usd: int

    @property
    def micro_usd(self) -> int:
        """Micro-dollars, rounded half-even."""
        return to_micro_usd(self.nano_usd)

    @property
    def dollars(self) -> Decimal:
        """US dollars, exact."""
        return Decimal(self.nano_usd).scaleb(-9)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.nano_usd + other.nano_usd)

    def __str__(self) -> str:
        return f"${self.dollars:f}"


_NOTHING: Final = Money(0)


class CallContext(msgspec.Struct, omit_defaults=True):
    """Whose call this is and what for. Inherited through :func:`llmcore.context`, written to the ledger, charged by
    budgets.
    """

    user_id: str | None = None
    owner_id: str | None = None
    session_id: str | None = None
    task_id: str | None = None
    company_id: str | None = None
    review_id: str | None = None
    game_id: str | None = None
    player_name: str | None = None
    hand_number: int | None = None
    prompt_template: str | None = None
    trace_id: str | None = None
    parent_call_id: str | None = None
    trackable_type: str | None = None
    trackable_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None


#: What budgets call the context fields: "user=alice" charges calls with user_id="alice".
BUDGET_KEYS: Final = {
    "user_id": "user",
    "owner_id": "owner",
    "session_id": "session",
    "task_id": "task",
    "company_id": "company",
    "review_id": "review",
    "game_id": "game",
    "player_name": "player",
    "prompt_template": "template",
    "trace_id": "trace",
}


@dataclass(slots=True, repr=False)
class LLMResponse:
    """The answer to one call.

    Latency is in milliseconds from the call to its answer, everything included. ``cost`` is None when the price of
    something it used is
    unknown, and zero when it cost nothing.
    """

    content: str
    model: str
    provider: str
    usage: Usage
    cost: Money | None
    call_id: str
    finish_reason: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    reasoning: str = ""
    latency_ms: float = 0.0
    attempts: int = 1
    status: LLMCallStatusEnum = LLMCallStatusEnum.SUCCESS
    cache_hit: bool = False
    fallback_used: bool = False
    #: what the cache or joining an identical call saved
    saved: Money = _NOTHING
    request_id: str | None = None
    #: the body as the provider sent it
    body: bytes = b""
    #: why the model would not answer, where that comes apart from the content
    refusal: str = ""
    #: the pages that it quotes, where the provider names them
    citations: list[Citation] = field(default_factory=list)

    @property
    def input_tokens(self) -> int:
        """All of the prompt, cached or not."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """All that was generated, reasoning included."""
        return self.usage.output_tokens

    @property
    def cached_tokens(self) -> int:
        """The part of the prompt that the provider had cached."""
        return self.usage.cached_tokens

    @property
    def reasoning_tokens(self) -> int:
        """The part of the output that the user does not see."""
        return self.usage.reasoning_tokens

    @property
    def total_tokens(self) -> int:
        """The prompt and what was generated."""
        return self.usage.input_tokens + self.usage.output_tokens

    @property
    def raw_response(self) -> Any:
        """The provider's body as parsed JSON; None if there is none."""
        if not self.body:
            return None
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):  # NaN, a byte-order mark, half a character: seen in the wild
            return json.loads(self.body.decode("utf-8-sig", "replace"))

    def __repr__(self) -> str:
        return (
            f"LLMResponse(call_id={self.call_id!r}, provider={self.provider!r}, model={self.model!r}, "
            f"status={self.status.value!r}, {len(self.content)} characters, "
            f"{self.usage.input_tokens}+{self.usage.output_tokens} tokens, cost={self.cost})"
        )


def total_cost(calls: Iterable[LLMResponse]) -> Money | None:
    """What calls cost together; None: one of them used something at an unknown price."""
    total = 0
    for call in calls:
        if call.cost is None:
            return None
        total += call.cost.nano_usd
    return Money(total)


class CallRecord(msgspec.Struct, array_like=True, gc=False):
    """One call as it goes to the ledger: begun (pending) or finished. Made by the driver from what the engine says;
    nothing here is decided later. Fields are appended, never moved: a spool of an older version must stay readable.
    """

    id: str
    call_type: str | None
    status: LLMCallStatusEnum
    outcome: Outcome
    source: Source
    provider: str
    model: str
    context: CallContext
    response_model: str | None = None
    usage: Usage | None = None
    #: nano-USD; None: partly at an unknown price
    cost: int | None = None
    saved: int = 0
    price_source: str | None = None
    #: nanoseconds
    latency: int = 0
    queued: int = 0
    first_token: int = 0
    attempts: Sequence[AttemptRecord] = ()
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    fallback_used: bool = False
    cache_hit: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    image_count: int = 0
    image_size: str | None = None
    #: nanoseconds since the Unix epoch, UTC
    created_at: int = 0
    started_at: int = 0
    completed_at: int = 0
    #: provider's id of the request that answered or failed last
    request_id: str | None = None
    tenant: str = "default"
    #: nano-USD set aside for it at the most; None: no budget watched it and its price is unknown
    reserved: int | None = None
    #: nano-USD that the provider itself says it cost
    reported_cost: int | None = None


class Texts(msgspec.Struct):
    """What is said in a call. It goes to the ledger beside the figures and nowhere else."""

    messages: list[Message] | None = None
    response: str | None = None
    tool_calls: list[ToolCall] = []

    def __repr__(self) -> str:
        return f"Texts({len(self.messages or ())} messages)"


class Sink(Protocol):
    """Where calls go: a ledger, a list in a test. ``record`` never blocks for long and never raises."""

    def begin(self, call: CallRecord) -> None:
        """Takes note of a call that is about to be sent: status pending, and what it can cost at the most.

        :raises LedgerError: it was asked to fail rather than to send what it cannot write down
        """

    def record(self, call: CallRecord, texts: Texts | None = None) -> None:
        """Takes one finished call on."""

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until everything taken on is written; False when `timeout` seconds were not enough."""

    def close(self) -> None:
        """Flushes and ends. Calling it again does nothing."""

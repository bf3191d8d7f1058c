"""What passes between a back end and the service: pydantic models that are made from objects as well."""

import uuid
from datetime import datetime
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from llmcore.types import Money

__all__ = ["LLMMessageDTO", "LLMRequestDTO", "LLMResponseDTO"]


class _Dollars(BaseModel):
    """Has a cost in US dollars, to be shown and not to be added up; None: at an unknown price."""

    model_config = ConfigDict(from_attributes=True)

    cost_estimate: float | None = Field(default=None, validation_alias=AliasChoices("cost_estimate", "cost"))

    @field_validator("cost_estimate", mode="before")
    @classmethod
    def _in_dollars(cls, value: Any) -> Any:
        return float(value.dollars) if isinstance(value, Money) else value


class LLMMessageDTO(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(from_attributes=True)

    role: str
    content: str
    name: str | None = None


class LLMResponseDTO(_Dollars):
    """An answer. Made from an :class:`~llmcore.types.LLMResponse` by ``model_validate``."""

    content: str
    provider: str
    model: str
    tokens_used: int | None = Field(default=None, validation_alias=AliasChoices("tokens_used", "total_tokens"))
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    #: from the call to its answer, everything included
    latency_ms: float | None = None
    finish_reason: str | None = None
    #: success, cached or fallback
    status: str | None = None
    cache_hit: bool = False
    fallback_used: bool = False


class LLMRequestDTO(_Dollars):
    """A request as the ledger has it. What was said is None where nothing of it is kept."""

    id: uuid.UUID
    provider: str
    model: str
    #: pending, success, cached, fallback, error, timeout, rate_limited, refused, cancelled, lost
    status: str
    user_id: str | None = None
    tokens_used: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    #: milliseconds
    latency: float | None = None
    error: str | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    messages: list[dict[str, Any]] | None = None
    response: str | None = None

    def __repr__(self) -> str:
        return f"LLMRequestDTO({self.id}, {self.provider}/{self.model}, {self.status})"

    __str__ = __repr__

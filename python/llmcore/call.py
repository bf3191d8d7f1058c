"""A call while it runs: what was asked, where it may go, and its mailbox."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from llmcore._core import Abort, AttemptRecord, Finish, Send
from llmcore.errors import LLMError
from llmcore.estimate import TokenEstimate
from llmcore.types import CallContext, CallRecord, Chunk, Failure, HttpRequest, Reply, Request

if TYPE_CHECKING:
    from llmcore.providers.base import LLMProvider

__all__ = ["Call", "Observers"]


@dataclass(frozen=True, slots=True)
class Observers:
    """Functions of the user that are told of a client's calls, after the fact and under no lock. What they raise is
    logged and changes nothing.
    """

    on_record: Callable[[CallRecord], None] | None = None
    on_error: Callable[[LLMError], None] | None = None


class Call(msgspec.Struct):
    """A call while it runs: what was asked, where it may go, and its mailbox."""

    tenant: str
    call_type: str | None
    context: CallContext
    #: the failover chain; one request per provider, since each may ask for another model
    providers: "list[LLMProvider]"
    requests: list[Request]
    #: the first provider's encoded request
    first: HttpRequest | None
    keep: bool
    observers: Observers
    #: whether its answer is handed out while it arrives
    stream: bool = False
    #: known from its submission on: the ledger's id, the wall time in nanoseconds, the engine's number
    id: str = ""
    created_at: int = 0
    number: int = 0
    #: actions of the engine for this call, oldest first
    mailbox: "deque[Send | Abort | AttemptRecord | Finish]" = msgspec.field(default_factory=deque)
    #: wakes whoever waits for the mailbox; None while nobody does
    wake: Callable[[], None] | None = None
    attempts: list[AttemptRecord] = []
    reply: Reply | None = None
    failure: Failure | None = None
    body: bytes = b""
    price_source: str | None = None
    #: of a stream: the chunks that are still to be handed out when the call is over
    rest: list[Chunk] = []
    #: of a stream that the user has seen a part of, and that broke off: what came of it
    partial: Reply | None = None
    #: what its prompt was taken for; None: there is nothing to learn from the answer
    estimate: TokenEstimate | None = None
    #: nano-USD that its attempt can cost at the most; None: at an unknown price
    reserved: int | None = None
    #: the ledger knows that it was sent; that it is over
    begun: bool = False
    recorded: bool = False

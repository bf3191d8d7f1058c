"""What can go wrong, as a tree::

    LLMError
    +-- LLMConfigError            a setting is missing or wrong; nothing was sent
    +-- LLMTimeoutError           no complete answer before the deadline
    +-- LLMConnectionError        the provider could not be reached, or the connection broke
    +-- LLMRateLimitError         the provider said "slower" (or its quota is spent) and retrying did not help
    +-- LLMAuthError              the key is missing, wrong, or not allowed
    +-- LLMBadRequestError        the provider will never accept this request (or the model does not exist, or its
    policy forbids it)
    |   +-- LLMContextLengthError the prompt is too long for the model
    +-- LLMServerError            the provider failed, or no provider of the chain could be tried
    +-- LLMValidationError        an answer or a value did not have the form that was asked for
    +-- QueueFullError            too many calls wait already; refused at once
    +-- QueueTimeoutError         waited for limits until its time was over
    +-- BudgetExceededError       a budget has no room for the worst case of this call
    +-- LLMCancelledError         cancelled by the caller, or the runtime was closed
    +-- LedgerError               the database of calls cannot be used
    +-- UnknownModelError         no price is known for a model
    +-- ReplayError               a recording cannot be read or does not fit the program

An :class:`LLMError` from a call carries what is known of it. Messages never hold a key or the text of a prompt.
"""

from typing import TYPE_CHECKING, NamedTuple

from llmcore._core import Outcome

if TYPE_CHECKING:
    from llmcore.types import Failure, LLMResponse, Money, Reply

__all__ = [
    "BudgetExceededError",
    "LLMAuthError",
    "LLMBadRequestError",
    "LLMCancelledError",
    "LLMConfigError",
    "LLMConnectionError",
    "LLMContextLengthError",
    "LLMError",
    "LLMRateLimitError",
    "LLMServerError",
    "LLMTimeoutError",
    "LLMValidationError",
    "LedgerError",
    "Problem",
    "QueueFullError",
    "QueueTimeoutError",
    "ReplayError",
    "UnknownModelError",
    "error_for",
]


class LLMError(Exception):
    """The root. Attributes that do not apply are None.

    :param message: one sentence: what happened, to what, and what to do next
    :param outcome: the engine's code
    :param call_id: id of the call in the ledger
    :param attempts: physical attempts made
    :param retry_after: seconds after which trying again makes sense
    :param status: HTTP status of the last answer
    :param code: the provider's own error code
    :param request_id: the provider's id of the last request
    :ivar partial: of a stream that broke off after chunks of it were handed out: what came of it, with what it used
    """

    def __init__(
        self,
        message: str,
        *,
        outcome: Outcome | None = None,
        call_id: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        attempts: int = 0,
        retry_after: float | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.outcome = outcome
        self.call_id = call_id
        self.provider = provider
        self.model = model
        self.attempts = attempts
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.request_id = request_id
        self.partial: Reply | None = None


class LLMConfigError(LLMError):
    """A setting is missing or wrong."""


class LLMTimeoutError(LLMError):
    """No complete answer before the deadline."""


class LLMConnectionError(LLMError):
    """The provider could not be reached, or the connection broke."""


class LLMRateLimitError(LLMError):
    """The provider's limit or quota, after retrying did not help."""


class LLMAuthError(LLMError):
    """The key is missing, wrong, or not allowed."""


class LLMBadRequestError(LLMError):
    """The provider will never accept this request."""


class LLMContextLengthError(LLMBadRequestError):
    """The prompt is too long for the model."""


class LLMServerError(LLMError):
    """The provider failed, or none could be tried."""


class Problem(NamedTuple):
    """What is wrong with an answer. Says nothing of what the answer holds there."""

    #: the way to the value, as in "items.0.price"; "*" for a key that the model made up; empty: the answer as a whole
    where: str
    #: pydantic's name for it ("missing", "int_parsing"), or "refusal", "length", "content_filter"
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class LLMValidationError(LLMError):
    """An answer or a value did not have the form that was asked for.

    :ivar answer: of a structured call: the last answer as the model gave it; else None. In no message, as it may repeat
        the prompt
    :ivar problems: of a structured call: what is wrong with that answer
    :ivar calls: of a structured call: all of its answers, the first one and those to the re-asks
    :ivar cost: of a structured call: of all of them together; None: at an unknown price
    """

    answer: str | None = None
    problems: tuple[Problem, ...] = ()
    calls: "tuple[LLMResponse, ...]" = ()
    cost: "Money | None" = None


class QueueFullError(LLMError):
    """Too many calls wait already."""


class QueueTimeoutError(LLMError):
    """Waited for limits until its time was over."""


class BudgetExceededError(LLMError):
    """A budget has no room for the worst case of this call."""


class LLMCancelledError(LLMError):
    """Cancelled by the caller, or the runtime was closed."""


class LedgerError(LLMError):
    """The database of calls cannot be used."""


class UnknownModelError(LLMError):
    """No price is known for a model."""


class ReplayError(LLMError):
    """A recording cannot be read or does not fit the program."""


_CLASS_OF: dict[Outcome, type[LLMError]] = {
    Outcome.TIMEOUT: LLMTimeoutError,
    Outcome.CONNECTION: LLMConnectionError,
    Outcome.RATE_LIMITED: LLMRateLimitError,
    Outcome.QUOTA_EXHAUSTED: LLMRateLimitError,
    Outcome.OVERLOADED: LLMServerError,
    Outcome.SERVER_ERROR: LLMServerError,
    Outcome.AUTH: LLMAuthError,
    Outcome.BAD_REQUEST: LLMBadRequestError,
    Outcome.CONTEXT_LENGTH: LLMContextLengthError,
    Outcome.CONTENT_FILTER: LLMBadRequestError,
    Outcome.NOT_FOUND: LLMBadRequestError,
    Outcome.QUEUE_FULL: QueueFullError,
    Outcome.QUEUE_TIMEOUT: QueueTimeoutError,
    Outcome.OVER_BUDGET: BudgetExceededError,
    Outcome.CANCELLED: LLMCancelledError,
    Outcome.EXHAUSTED: LLMServerError,
}


def error_for(
    outcome: Outcome,
    message: str,
    *,
    call_id: str,
    provider: str,
    model: str,
    attempts: int,
    failure: "Failure | None" = None,
    retry_after: float | None = None,
) -> LLMError:
    """The exception for a finished call that has no answer: the one place that maps outcomes to classes."""
    return _CLASS_OF[outcome](
        message,
        outcome=outcome,
        call_id=call_id,
        provider=provider,
        model=model,
        attempts=attempts,
        retry_after=retry_after if retry_after is not None else (failure.retry_after if failure else None),
        status=failure.status if failure else None,
        code=failure.code if failure else None,
        request_id=failure.request_id if failure else None,
    )

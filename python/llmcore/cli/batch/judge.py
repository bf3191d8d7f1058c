"""Telling a run that cannot succeed from one that meets failures.

A wrong key, address or model fails every call alike. Until the first answer such failures are held back instead of
written, and a few of them (many, where the model is at fault: a file may name several) stop new calls; when nothing is
left under way that could prove them wrong, the run ends. After the first answer the engine waits for what comes back,
and only a long row of refused keys or spent quota ends it.
"""

from llmcore._core import Send
from llmcore.errors import LLMError
from llmcore.transport import Transport, TransportError
from llmcore.types import AttemptRecord, HttpRequest, HttpResponse, Outcome

__all__ = ["Judge", "ListeningTransport"]

#: What the next call meets as well, unless somebody mends something.
_HOPELESS = frozenset({Outcome.AUTH, Outcome.CONNECTION, Outcome.QUOTA_EXHAUSTED})
#: The same once there have been answers: a connection comes back, and a model that is missing is one of several.
_HOPELESS_LATER = frozenset({Outcome.AUTH, Outcome.QUOTA_EXHAUSTED})
#: Answers that show the provider at work, be they what was wished for or not.
_ANSWERS = frozenset({Outcome.OK, Outcome.BAD_REQUEST, Outcome.CONTEXT_LENGTH, Outcome.CONTENT_FILTER})
_ENOUGH = 3


class Judge:
    """Counts the attempts of a run as the engine reports them, and its failed calls.

    :param row: so many calls with a missing model and no answer, or refused in a row after an answer, are too many
    """

    def __init__(self, row: int) -> None:
        self.answered = False
        #: attempts that failed
        self.failed_attempts = 0
        #: the first failure that made the run look hopeless, in a sentence
        self.cause = ""
        self._row = row
        self._refused_in_a_row = 0
        self._under_way = 0
        self._hopeless = 0
        self._missing = 0

    def see(self, action: object) -> None:
        """Takes note of an action of the engine. Called under the runtime's lock, so it only counts."""
        if isinstance(action, Send):
            self._under_way += 1
        elif isinstance(action, AttemptRecord):
            self._under_way -= 1
            outcome = action.outcome
            if outcome is not Outcome.OK:
                self.failed_attempts += 1
                self._hopeless += outcome in _HOPELESS
                self._missing += outcome is Outcome.NOT_FOUND
            if not self.answered and outcome in _ANSWERS:
                self.answered = True

    def hear(self, error: TransportError) -> None:
        """Takes note of why an attempt brought no answer: a call tells that only when it has made its last one."""
        if not self.answered and error.outcome in _HOPELESS:
            self.cause = self.cause or error.message

    def call_answered(self) -> None:
        """A call came to a result."""
        self.answered = True
        self._refused_in_a_row = 0

    def call_failed(self, error: LLMError) -> bool:
        """A call failed; True if that is to be held back until there is an answer."""
        if self.answered:
            self._refused_in_a_row = self._refused_in_a_row + 1 if error.outcome in _HOPELESS_LATER else 0
            if self._refused_in_a_row == self._row:
                self.cause = error.message
            return False
        if error.outcome not in _HOPELESS and error.outcome is not Outcome.NOT_FOUND:
            return False
        self.cause = self.cause or error.message
        return True

    @property
    def doubtful(self) -> bool:
        """Whether new calls had better wait for those under way."""
        return not self.answered and (self._hopeless >= _ENOUGH or self._missing >= self._row)

    @property
    def hopeless(self) -> bool:
        """Whether the run had better end."""
        if self.answered:
            return self._refused_in_a_row >= self._row
        return self.doubtful and self._under_way == 0


class ListeningTransport(Transport):
    """A transport that tells a judge of what another one could not do."""

    def __init__(self, inner: Transport, judge: Judge) -> None:
        super().__init__()
        self._inner = inner
        self._judge = judge

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        """As the other one."""
        try:
            return self._inner.send(request, timeout)
        except TransportError as error:
            self._judge.hear(error)
            raise

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - passed on
        """As the other one."""
        try:
            return await self._inner.asend(request, timeout)
        except TransportError as error:
            self._judge.hear(error)
            raise

    def close(self) -> None:
        """Closes the other one."""
        self._inner.close()

    async def aclose(self) -> None:
        """Closes the other one."""
        await self._inner.aclose()

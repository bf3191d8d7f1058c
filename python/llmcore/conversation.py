"""A conversation's memory: what was said, kept within bounds, in the form that a call takes.

The unit is what may not be torn apart: one message, or an assistant's message that calls tools together with all
their results. Trimming drops whole units, the oldest first. Never dropped are the system prompt, the user's last
message, which is what is being answered, and the newest unit; and what is left begins with a message of the user's.

Not thread-safe: a conversation takes one turn at a time. Adding costs O(messages kept).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import msgspec

from llmcore.errors import LLMValidationError
from llmcore.estimate import TokenEstimator
from llmcore.providers.parts import with_encoded_media
from llmcore.types import LLMResponse, Message, ToolCall

__all__ = ["ConversationMemory"]

_VERSION: Final = 1
_FIELDS: Final = frozenset({"version", "system_prompt", "max_messages", "max_tokens", "messages"})
_KEYS: Final = {
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "tool_calls"}),
    "tool": frozenset({"role", "content", "name", "tool_call_id"}),
}
_MOST = 1 << 40
_DEEPEST = 32  # levels of nesting in a message's parts
_MOST_CALLS = 1_000  # in one message
#: a text, or a list of parts in the OpenAI shape
Content = str | list[dict[str, Any]]


_estimator = TokenEstimator()  # which learns nothing here


class _Unit(msgspec.Struct):
    """Messages that stay together."""

    messages: list[Message]
    #: ids of the tool calls in it that have no result yet; an id may come twice, and then takes two results
    waiting: list[str]
    tokens: int

    @property
    def role(self) -> str:
        """Whose its first message is."""
        role: str = self.messages[0]["role"]
        return role


class ConversationMemory:
    """What was said in a conversation.

    :param system_prompt: stands before everything else and is never trimmed away; empty: there is none
    :param max_messages: most messages to keep, the system prompt not counted
    :param max_tokens: most tokens to keep, the system prompt counted, as a
        :class:`~llmcore.estimate.TokenEstimator` expects them; None: any number
    :raises LLMValidationError: an argument cannot be used
    """

    def __init__(self, system_prompt: str = "", max_messages: int = 15, *, max_tokens: int | None = None) -> None:
        self._system_prompt = _text("system_prompt", system_prompt)
        self._max_messages = _positive("max_messages", max_messages)
        self._max_tokens = None if max_tokens is None else _positive("max_tokens", max_tokens)
        self._units: list[_Unit] = []

    @property
    def system_prompt(self) -> str:
        """What stands before everything else."""
        return self._system_prompt

    @property
    def pending(self) -> list[str]:
        """Ids of the tool calls that have no result yet, in their order."""
        return list(self._units[-1].waiting) if self._units else []

    def add_user(self, content: Content) -> None:
        """Adds what the user says.

        :param content: a text, or a list of parts (text, pictures, files) in the OpenAI shape
        :raises LLMValidationError: it is neither, or tool calls wait for their results
        """
        self._add(self._user(content))

    def add_assistant(
        self, content: str | None, tool_calls: "Sequence[ToolCall | dict[str, Any]] | None" = None
    ) -> None:
        """Adds what the model said.

        :param tool_calls: functions it wants called, also in the OpenAI shape: their results come next, by
            :meth:`add_tool_result`
        :raises LLMValidationError: the text is no text, or earlier tool calls wait for their results
        """
        self._add(self._assistant(content, tool_calls))

    def add_tool_result(self, tool_call_id: str, content: Content) -> None:
        """Adds the result of a function that the model wanted called; also of one that failed: say so in words.

        :raises LLMValidationError: no call of that id waits for its result
        """
        message = {"role": "tool", "tool_call_id": tool_call_id, "content": content}
        self._add(self._checked(message, "the tool's message"))

    def get_messages(self) -> list[Message]:
        """What a call takes: the system prompt, if there is one, and what is kept. Tool calls that still wait for a
        result (see :attr:`pending`) are left out, since no provider takes them. The list is the caller's.
        """
        return self._told(self._units)

    def turn(self, content: Content | None = None) -> list[Message]:
        """What get_messages() would give after add_user(content); changes nothing.

        :param content: None asks for an answer to what is there, such as results of tools
        :raises LLMValidationError: there is nothing to answer, or tool calls wait for their results
        """
        units = list(self._units)
        if content is not None:
            self._append(units, self._user(content))
            return self._told(self._trimmed(units))
        if self.pending:
            _refuse_before(self.pending)
        if not units or units[-1].messages[-1]["role"] == "assistant":
            raise LLMValidationError("there is nothing to answer in this conversation: say something to the model")
        return self._told(units)

    def add_turn(self, content: Content | None, response: LLMResponse) -> None:
        """Adds what the user said, unless it is None, and what was answered: both or, when it raises, nothing."""
        answer = self._answer(response)
        if content is not None:
            self.add_user(content)
        self._add(answer)

    def clear(self) -> None:
        """Forgets everything but the system prompt."""
        self._units = []

    def __len__(self) -> int:
        """Messages kept, the system prompt not counted."""
        return sum(len(unit.messages) for unit in self._units)

    def __repr__(self) -> str:
        return f"ConversationMemory({len(self)} messages)"

    # --- as data
    # ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything, as values that JSON has."""
        return {
            "version": _VERSION,
            "system_prompt": self._system_prompt,
            "max_messages": self._max_messages,
            "max_tokens": self._max_tokens,
            "messages": [_copied(message, 0) for unit in self._units for message in unit.messages],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ConversationMemory":
        """The memory that to_dict() described. It believes nothing: `data` may come from anywhere.

        :raises LLMValidationError: it is no conversation, or of a version that this one cannot read
        """
        if not isinstance(data, Mapping):
            _refuse(f"a conversation is a dict, not {type(data).__name__}")
        version = data.get("version")
        if type(version) is not int:
            _refuse('a conversation has a whole number as "version"; this one has none')
        if version != _VERSION:
            older = "older" if version < _VERSION else "newer"
            _refuse(f"this conversation is of an {older} version, {version}; only version {_VERSION} can be read")
        if set(data) != _FIELDS:
            missing = sorted(_FIELDS - set(data))
            _refuse(f"a conversation lacks {missing}" if missing else "a conversation holds fields of no known use")
        memory = cls(data["system_prompt"], data["max_messages"], max_tokens=data["max_tokens"])
        messages = data["messages"]
        if type(messages) is not list:
            _refuse('"messages" of a conversation is a list')
        for index, message in enumerate(messages):
            memory._append(memory._units, memory._checked(message, f"messages[{index}]"))
        memory._units = memory._trimmed(memory._units)
        return memory

    # --- inside
    # -----------------------------------------------------------------------------------------------------------

    def _user(self, content: Content) -> Message:
        return self._checked({"role": "user", "content": content}, "the user's message")

    def _assistant(self, content: str | None, tool_calls: "Sequence[ToolCall | dict[str, Any]] | None") -> Message:
        message: Message = {"role": "assistant", "content": content}
        if tool_calls:
            if not isinstance(tool_calls, list | tuple):
                _refuse("tool_calls is a list of tool calls")
            message["tool_calls"] = [_called(call) if isinstance(call, ToolCall) else call for call in tool_calls]
        return self._checked(message, "the assistant's message")

    def _answer(self, response: LLMResponse) -> Message:
        # Where nothing was said beside the calls, some providers refuse an empty text.
        said = response.content or response.refusal or (None if response.tool_calls else "")
        return self._assistant(said, response.tool_calls)

    def _checked(self, message: object, where: str) -> Message:
        """A message of one's own, if it is one."""
        if type(message) is not dict:
            _refuse(f"{where} is no dict")
        role = message.get("role")
        keys = _KEYS.get(role) if type(role) is str else None
        if keys is None:
            _refuse(f"{where} is of none of the roles user, assistant and tool")
        if not keys.issuperset(message):
            _refuse(f"{where} holds keys that a message of the role {role} has no use for")
        copied: Message = _copied(with_encoded_media([message])[0], 0, where)
        content, calls = copied.get("content"), copied.get("tool_calls")
        if type(content) is list:
            if not content or not all(type(part) is dict and type(part.get("type")) is str for part in content):
                _refuse(f'{where}: its content is a text or a list of parts, each a dict with a "type"')
        elif type(content) is not str and not (content is None and calls):
            _refuse(f"{where}: its content is a text or a list of parts")
        if "tool_calls" in copied and not _are_calls(calls):
            _refuse(f'{where}: its tool_calls are no list of dicts with an "id", a "type" and what is called')
        for key in ("name", "tool_call_id"):
            if key in copied and type(copied[key]) is not str:
                _refuse(f"{where}: its {key} is no text")
        if role == "tool" and "tool_call_id" not in copied:
            _refuse(f"{where} does not say which call it is the result of")
        return copied

    def _add(self, message: Message) -> None:
        self._append(self._units, message)
        self._units = self._trimmed(self._units)

    def _append(self, units: list[_Unit], message: Message) -> None:
        """Adds a message, or the result of a tool to the unit of its call."""
        waiting = units[-1].waiting if units else []
        tokens = 0 if self._max_tokens is None else _estimator.messages([message])
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                _refuse(f"no tool call waits for the result of that id; waiting are: {_shown(waiting)}")
            waiting.remove(message["tool_call_id"])
            units[-1].messages.append(message)
            units[-1].tokens += tokens
            return
        if waiting:
            _refuse_before(waiting)
        units.append(_Unit([message], [call["id"] for call in message.get("tool_calls") or ()], tokens))

    def _trimmed(self, units: list[_Unit]) -> list[_Unit]:
        messages = sum(len(unit.messages) for unit in units)
        most_tokens, tokens = self._max_tokens, 0
        if most_tokens is not None:
            tokens = sum(unit.tokens for unit in units) + _estimator.messages(self._system())

        def too_much() -> bool:
            return messages > self._max_messages or (most_tokens is not None and tokens > most_tokens)

        if not too_much():
            return units
        last = len(units) - 1
        asked = next((at for at in range(last, -1, -1) if units[at].role == "user"), last)
        gone = set()
        for at in range(last):
            if not too_much():
                break
            if at != asked:
                gone.add(at)
                messages -= len(units[at].messages)
                tokens -= units[at].tokens
        kept = [unit for at, unit in enumerate(units) if at not in gone]
        first = next((at for at, unit in enumerate(kept) if unit.role == "user"), 0)
        return kept[first:]

    def _told(self, units: list[_Unit]) -> list[Message]:
        if units and units[-1].waiting:
            units = units[:-1]
        return [*self._system(), *(_copied(message, 0) for unit in units for message in unit.messages)]

    def _system(self) -> list[Message]:
        return [{"role": "system", "content": self._system_prompt}] if self._system_prompt else []


def _refuse_before(waiting: list[str]) -> NoReturn:
    _refuse(f"tool calls wait for their results: add_tool_result() comes first, for {_shown(waiting)}")


def _shown(ids: list[str]) -> str:
    shown = ", ".join(repr(one[:64]) for one in ids[:3])
    return (shown + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")) or "none"


def _called(call: ToolCall) -> dict[str, Any]:
    if call.type == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _are_calls(calls: object) -> bool:
    if type(calls) is not list or not 0 < len(calls) <= _MOST_CALLS:
        return False
    for call in calls:
        if type(call) is not dict or type(call.get("id")) is not str or call.get("type") not in ("function", "custom"):
            return False
        called = call.get(call["type"])
        text = "arguments" if call["type"] == "function" else "input"
        if set(call) != {"id", "type", call["type"]} or type(called) is not dict or set(called) != {"name", text}:
            return False
        if type(called["name"]) is not str or type(called[text]) is not str:
            return False
    return True


def _copied(value: Any, depth: int, where: str = "") -> Any:
    """A value of one's own.

    :raises LLMValidationError: JSON has none like it, it cannot be sent, or it is nested too deep
    """
    kind = type(value)
    if kind is str:
        return _text(where, value)
    if value is None or kind is bool or (kind is int and -(1 << 63) <= value < 1 << 64):
        return value
    if kind is float and value - value == 0:  # neither infinite nor NaN
        return value
    if kind is list and depth < _DEEPEST:
        return [_copied(part, depth + 1, where) for part in value]
    if kind is dict and depth < _DEEPEST and all(type(key) is str for key in value):
        return {_text(where, key): _copied(part, depth + 1, where) for key, part in value.items()}
    raise LLMValidationError(f"{where} holds a {kind.__name__} that JSON has no form for, or that is nested too deep")


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        _refuse(f"{where} is a text, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LLMValidationError(f"{where} holds half of a surrogate pair, which is no character") from None
    return value


def _positive(name: str, value: object) -> int:
    if type(value) is not int or not 0 < value < _MOST:
        _refuse(f"{name} is a whole number above 0")
    return value


def _refuse(message: str) -> NoReturn:
    raise LLMValidationError(message)

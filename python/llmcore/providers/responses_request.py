"""Requests to OpenAI's Responses, from the shape of Chat Completions. Pure.

What Responses have no form for is refused by name. Content parts and tools in their own form pass as they are, and so
does a message whose content is a list of whole items ("reasoning", "function_call", ...).
"""

from typing import Any

import msgspec

from llmcore.providers.body import checked, dump, listed, refuse, refuse_params
from llmcore.providers.parts import with_encoded_media
from llmcore.types import LLMRequest

__all__ = ["encode_responses"]

_UNKNOWN = frozenset(
    {
        "n",
        "stop",
        "seed",
        "logit_bias",
        "logprobs",
        "frequency_penalty",
        "presence_penalty",
        "modalities",
        "audio",
        "prediction",
        "web_search_options",
        "functions",
        "function_call",
        "stream_options",
    }
)
_PARTS = frozenset({"input_text", "input_image", "input_file", "input_audio", "output_text", "refusal"})
_ROLES = frozenset({"user", "system", "developer", "assistant"})
#: Items that are no messages, by their type or its end.
_ITEMS = frozenset({"reasoning", "compaction", "additional_tools", "mcp_list_tools"})
_ITEM_ENDS = ("_call", "_output", "_reference", "_request", "_response")


def encode_responses(request: LLMRequest) -> bytes:
    """The body of a Responses request, keys sorted.

    :raises LLMValidationError: something in it cannot be sent, or cannot be said in this API
    """
    params = dict(request.params)
    if params.pop("stream", None):
        refuse("stream is not a param of a request: complete() answers in one piece, and its `stream` asks for more")
    refuse_params([name for name, value in params.items() if value is not None], _UNKNOWN, "the Responses API")
    for name in _UNKNOWN & params.keys():
        del params[name]
    fields: dict[str, Any] = {"model": request.model, "stream": request.stream}
    limits = [params.pop(name, None) for name in ("max_tokens", "max_completion_tokens")]
    limit = next(filter(None, limits), request.max_tokens)
    if limit is not None:
        fields["max_output_tokens"] = limit
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    text: dict[str, Any] = {}
    if (wanted := params.pop("response_format", request.response_format)) is not None:
        text["format"] = _format(wanted)
    elif request.json_format:
        text["format"] = {"type": "json_object"}
    if (verbosity := params.pop("verbosity", None)) is not None:
        text["verbosity"] = verbosity
    if text:
        fields["text"] = text
    if (effort := params.pop("reasoning_effort", None)) is not None:
        fields["reasoning"] = {"effort": effort}
    if (tools := params.pop("tools", request.tools)) is not None:
        fields["tools"] = [_tool(tool, index) for index, tool in enumerate(listed(tools, "tools"))]
    if (choice := params.pop("tool_choice", None)) is not None:
        fields["tool_choice"] = _flat(choice)
    fields |= params
    items = [
        item
        for index, message in enumerate(checked(with_encoded_media(request.messages)))
        for item in _items(message, index)
    ]
    return dump(fields, "input", items)


def _items(message: dict[str, Any], index: int) -> list[dict[str, Any]]:
    where = f"messages[{index}]"
    role, content = message["role"], message.get("content")
    if role == "tool":
        called = message.get("tool_call_id")
        if not isinstance(called, str):
            refuse(f"{where} has no tool_call_id")
        output: Any = content if isinstance(content, str) else _parts(content, "user", where)
        return [{"type": "function_call_output", "call_id": called, "output": output or ""}]
    if role not in _ROLES:
        refuse(f"{where} has the role {role}, which the Responses API does not have")
    if message.get("name") is not None:
        refuse(f"{where} has a name, which the Responses API has no place for")
    if message.get("audio") or message.get("function_call"):
        refuse(f"{where} holds sound or a function_call, which the Responses API has no form for")
    items: list[dict[str, Any]] = []
    if isinstance(content, str):
        if content:
            items.append(_said(role, content))
    else:
        own = [part for part in content or () if _is_item(part)]
        parts = _parts([part for part in content or () if not _is_item(part)], role, where)
        items += own
        if parts:
            items.append(_said(role, parts))
    if message.get("refusal"):
        items.append(_said(role, [{"type": "refusal", "refusal": message["refusal"]}]))
    for at, call in enumerate(listed(message.get("tool_calls") or (), where)):
        items.append(_call(call, f'{where}["tool_calls"][{at}]'))
    if not items:
        refuse(f"{where} is empty")
    return items


def _said(role: str, content: str | list[dict[str, Any]]) -> dict[str, Any]:
    """A message. What a model said goes back in the form in which it came: llama.cpp's server knows no other, and
    OpenAI's takes both.
    """
    if role != "assistant":
        return {"role": role, "content": content}
    parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
    return {"type": "message", "role": role, "content": parts}


def _is_item(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and (kind in _ITEMS or kind.endswith(_ITEM_ENDS))


def _call(call: Any, where: str) -> dict[str, Any]:
    if not isinstance(call, dict):
        refuse(f"{where} is a dict, not {type(call).__name__}")
    if call.get("type") == "custom":
        custom = _dict(call.get("custom"), where)
        told = {"type": "custom_tool_call", "call_id": call.get("id"), "name": custom.get("name")}
        return {**told, "input": custom.get("input") or ""}
    function = _dict(call.get("function"), where)
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments or {}).decode()
    return {"type": "function_call", "call_id": call.get("id"), "name": function.get("name"), "arguments": arguments}


def _dict(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(f"{where} does not say what it is of")
    return value


def _parts(content: Any, role: str, where: str) -> list[dict[str, Any]]:
    found = []
    for at, part in enumerate(content or ()):
        place = f'{where}["content"][{at}]'
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" or isinstance(part, str):
            text = part if isinstance(part, str) else part.get("text")
            found.append({"type": "output_text" if role == "assistant" else "input_text", "text": text})
        elif kind == "image_url":
            inner = part.get("image_url")
            told = {"image_url": inner} if isinstance(inner, str) else dict(_dict(inner, place))
            if "url" in told:
                told["image_url"] = told.pop("url")
            found.append({"type": "input_image", "detail": "auto", **told})
        elif kind == "file" and isinstance(part.get("file"), dict):
            found.append({"type": "input_file", **part["file"]})
        elif isinstance(kind, str) and kind in _PARTS:
            found.append(part)
        else:
            refuse(f"{place}: the Responses API has no {kind} in messages")
    return found


def _format(wanted: Any) -> Any:
    if not isinstance(wanted, dict):
        refuse("response_format is a dict")
    schema = wanted.get("json_schema")
    return (
        {"type": "json_schema", **schema}
        if wanted.get("type") == "json_schema" and isinstance(schema, dict)
        else wanted
    )


def _tool(tool: Any, index: int) -> Any:
    if not isinstance(tool, dict):
        refuse(f"tools[{index}] is a dict, not {type(tool).__name__}")
    return _flat(tool)


def _flat(tool: Any) -> Any:
    """{"type": "function", "function": {"name": ...}} without the level in between, which Responses do not have."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    inner = tool.get(kind) if kind in ("function", "custom") else None
    return {"type": kind, **inner} if isinstance(inner, dict) else tool

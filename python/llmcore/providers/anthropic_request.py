"""Requests to Anthropic's Messages, from the OpenAI shape. Pure.

What Messages have no form for is refused by name. Content parts, tools and tool choices in Anthropic's own form pass as
they are, and "cache_control" passes wherever it stands.
"""

import re
from typing import Any, Final

import msgspec

from llmcore.providers.body import checked, dump, listed, refuse, refuse_params, schema_of
from llmcore.providers.parts import split_data_url, with_encoded_media
from llmcore.types import LLMRequest

__all__ = ["encode_messages"]

#: Anthropic insists on a limit.
_MAX_TOKENS: Final = 4096
_JSON_ONLY: Final = "Answer with one JSON object and nothing else: no introduction, no code fence."
_UNKNOWN = frozenset(
    {
        "n",
        "seed",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "frequency_penalty",
        "presence_penalty",
        "modalities",
        "audio",
        "prediction",
        "store",
        "verbosity",
        "web_search_options",
        "functions",
        "function_call",
        "stream_options",
    }
)
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
#: Parts of OpenAI's that have no form here. What is not known passes: it may be Anthropic's, which has new ones often.
_FOREIGN_PARTS = frozenset({"input_audio", "input_text", "input_image", "input_file", "output_text", "video_url"})
#: Models that take system messages at the beginning only.
_SYSTEM_FIRST = re.compile(r"claude-(?:instant|[123]|(?:opus|sonnet|haiku)-4(?:-[0-7])?(?:-\d{8}|@\d{8}|$))")
_TOOL_ID = re.compile(r"[^A-Za-z0-9_-]")


def encode_messages(request: LLMRequest) -> bytes:
    """The body of a Messages request, keys sorted.

    :raises LLMValidationError: something in it cannot be sent, or cannot be said in this API
    """
    params = dict(request.params)
    if params.pop("stream", None):
        refuse("stream is not a param of a request: complete() answers in one piece, and its `stream` asks for more")
    refuse_params([name for name, value in params.items() if value is not None], _UNKNOWN, "Anthropic")
    for name in _UNKNOWN & params.keys():
        del params[name]
    fields: dict[str, Any] = {"model": request.model, "stream": request.stream}
    completion_limit = params.pop("max_completion_tokens", None)
    fields["max_tokens"] = completion_limit or request.max_tokens or _MAX_TOKENS
    temperature = params.get("temperature", request.temperature)
    if temperature is not None:
        if isinstance(temperature, int | float) and temperature > 1:
            refuse(f"temperature is from 0 to 1 at Anthropic, not {temperature:g}")
        fields["temperature"] = temperature
    if (stop := params.pop("stop", None)) is not None:
        fields["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if (user := params.pop("user", None)) is not None:
        fields["metadata"] = {"user_id": user}
    if (effort := params.pop("reasoning_effort", None)) is not None:
        fields["output_config"] = {"effort": effort}
    as_json = request.json_format
    wanted = params.pop("response_format", request.response_format)
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        fields["output_config"] = {
            **fields.get("output_config", {}),
            "format": {"type": "json_schema", "schema": schema_of(wanted)},
        }
        as_json = False
    elif isinstance(wanted, dict) and wanted.get("type") == "json_object":
        as_json = True
    elif wanted is not None and not (isinstance(wanted, dict) and wanted.get("type") == "text"):
        refuse("response_format is of a type that Anthropic does not have")
    tools = params.pop("tools", request.tools)
    if tools is not None:
        fields["tools"] = [_tool(tool, index) for index, tool in enumerate(listed(tools, "tools"))]
    parallel = params.pop("parallel_tool_calls", None)
    choice = params.pop("tool_choice", None)
    if choice is not None or parallel is False:
        fields["tool_choice"] = _choice(choice, parallel)
    params.pop("betas", None)  # which go into a header
    fields |= params
    hoists = _SYSTEM_FIRST.search(str(request.model)) is not None
    system, messages = _conversation(checked(with_encoded_media(request.messages)), hoists)
    if "system" in params:
        system = [*_parts(params["system"], "system", only_text=True), *system]
    if as_json:
        system.append({"type": "text", "text": _JSON_ONLY})
    if system:
        plain = all(part.keys() == {"type", "text"} and isinstance(part["text"], str) for part in system)
        ordered = [dict(sorted(part.items())) for part in system]
        fields["system"] = "\n\n".join(part["text"] for part in system) if plain else ordered
    if not messages:
        refuse("messages hold nothing but a system prompt; Anthropic needs a message of the user")
    return dump(fields, "messages", messages)


def _conversation(given: Any, hoists: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(parts of the system prompt, messages). Results of tools belong to one message of the user's, right after.

    :param hoists: whether later system messages too become a part of the system prompt
    """
    system: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    for index, message in enumerate(given):
        where = f"messages[{index}]"
        role = message["role"]
        if message.get("name") is not None and role != "tool":
            refuse(f"{where} has a name, which Anthropic has no place for")
        if role in ("system", "developer") and (hoists or not messages):
            system += _parts(message.get("content"), where, only_text=True)
            continue
        if role in ("system", "developer"):
            role, parts = "system", _parts(message.get("content"), where)
        elif role == "user":
            parts = _parts(message.get("content"), where)
        elif role == "tool":
            role, parts = "user", [_result(message, where)]
        elif role == "assistant":
            parts = _parts(message.get("content"), where) + _parts(message.get("refusal"), where, only_text=True)
            parts += _calls(message, where)
            if message.get("audio") or message.get("function_call"):
                refuse(f"{where} holds sound or a function_call, which Anthropic has no form for")
        else:
            refuse(f"{where} has the role {role}, which Anthropic does not have")
        if not parts:
            refuse(f"{where} is empty, which Anthropic does not take")
        if messages and messages[-1]["role"] == role != "system":
            messages[-1]["content"] += parts
        else:
            messages.append({"role": role, "content": parts})
    for message in messages:
        only = message["content"]
        if len(only) == 1 and only[0].keys() == {"type", "text"}:
            message["content"] = only[0]["text"]
    return system, messages


def _parts(content: Any, where: str, *, only_text: bool = False) -> list[dict[str, Any]]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    found = []
    for at, part in enumerate(listed(content, where)):
        place = f'{where}["content"][{at}]'
        if isinstance(part, str):
            found.append({"type": "text", "text": part})
        elif not isinstance(part, dict):
            refuse(f"{place} is a string or a dict, not {type(part).__name__}")
        elif part.get("type") == "text":
            found.append(dict(part))
        elif only_text:
            refuse(f"{place}: a system prompt is text")
        else:
            found.append(_medium(part, place))
    return found


def _medium(part: dict[str, Any], place: str) -> dict[str, Any]:
    kind = part.get("type")
    if not isinstance(kind, str):
        refuse(f"{place} has no type")
    if kind in _FOREIGN_PARTS:
        refuse(f"{place}: Anthropic has no {kind} in messages")
    inner = part.get(kind)
    kept = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    if kind == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else inner
        return {"type": "image", "source": _source(url, place), **kept}
    if kind == "refusal":
        return {"type": "text", "text": inner, **kept}
    if kind != "file" or not isinstance(inner, dict):
        return part
    if "file_id" in inner:
        return {"type": "document", "source": {"type": "file", "file_id": inner["file_id"]}, **kept}
    told = {"title": inner["filename"]} if "filename" in inner else {}
    return {"type": "document", "source": _source(inner.get("file_data"), place), **told, **kept}


def _source(url: Any, place: str) -> dict[str, Any]:
    if not isinstance(url, str) or not url:
        refuse(f"{place} names neither a URL nor data")
    found = split_data_url(url)
    if found is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": found.media_type, "data": found.base64}


def _result(message: dict[str, Any], where: str) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(message.get("tool_call_id"), where)}
    parts = _parts(message.get("content"), where)
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        told["content"] = parts[0]["text"]
    elif parts:
        told["content"] = parts
    for name in ("is_error", "cache_control"):
        if name in message:
            told[name] = message[name]
    return told


def _calls(message: dict[str, Any], where: str) -> list[dict[str, Any]]:
    found = []
    for at, call in enumerate(listed(message.get("tool_calls") or (), where)):
        place = f'{where}["tool_calls"][{at}]'
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            refuse(f"{place} is a call of no function, which Anthropic has no form for")
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = msgspec.json.decode(arguments or "{}")
            except (ValueError, RecursionError):
                refuse(f"{place}: its arguments are not JSON")
        if not isinstance(arguments, dict):
            refuse(f"{place}: its arguments are not a JSON object")
        called = {
            "type": "tool_use",
            "id": _id(call.get("id"), place),
            "name": function.get("name"),
            "input": arguments,
        }
        found.append(called)
    return found


def _id(given: Any, where: str) -> str:
    """Anthropic's ids are of these characters; another provider's, in a conversation that moved here, may not be."""
    if not isinstance(given, str) or not given:
        refuse(f"{where} has no id of a tool call")
    return _TOOL_ID.sub("_", given)


def _tool(tool: Any, index: int) -> Any:
    if not isinstance(tool, dict):
        refuse(f"tools[{index}] is a dict, not {type(tool).__name__}")
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        if tool.get("type") == "custom" and "custom" in tool:
            refuse(f"tools[{index}] takes free text, which Anthropic has no form for")
        return tool
    told = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
    told |= {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    if "cache_control" in tool:
        told["cache_control"] = tool["cache_control"]
    return told


def _choice(choice: Any, parallel: Any) -> dict[str, Any]:
    told: dict[str, Any]
    if choice is None:
        told = {"type": "auto"}
    elif isinstance(choice, str) and choice in _CHOICES:
        told = {"type": _CHOICES[choice]}
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        told = {"type": "tool", "name": choice["function"].get("name")}
    elif isinstance(choice, dict) and choice.get("type") in ("auto", "any", "tool", "none"):
        told = dict(choice)
    else:
        refuse('tool_choice is "auto", "none", "required" or a function, for Anthropic')
    if parallel is False and told["type"] != "none":
        told["disable_parallel_tool_use"] = True
    return told

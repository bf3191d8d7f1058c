"""The message of a recorded stream as its provider would have sent it in one piece, by plain JSON."""

import json
from typing import Any

from support.recorded import Json, Row, events, flat

__all__ = ["whole"]


def whole(kind: str, row: Row) -> Json:
    """The body of the answer that a stream came to.

    :param kind: chat, responses, messages or ollama
    """
    told = list(events(row))
    return {"chat": _chat, "responses": _response, "messages": _message, "ollama": _ollama}[kind](told)


def _chat(told: list[Json]) -> Json:
    message: Json = {"role": "assistant", "content": None}
    calls: dict[int, Json] = {}
    body: Json = {"choices": [{"index": 0, "message": message, "finish_reason": None}]}
    for event in told:
        body |= {name: value for name, value in event.items() if name not in ("choices", "usage", "x_groq") and value}
        body["usage"] = event.get("usage") or (event.get("x_groq") or {}).get("usage") or body.get("usage")
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue
            body["choices"][0]["finish_reason"] = choice.get("finish_reason") or body["choices"][0]["finish_reason"]
            for name, value in (choice.get("delta") or {}).items():
                if name == "tool_calls":
                    for at, call in enumerate(value or ()):
                        _add(calls.setdefault(call.get("index", at), {}), call)
                elif name == "content":
                    thought = _thought(value)
                    if thought:
                        message["reasoning"] = (message.get("reasoning") or "") + thought
                    message["content"] = (message["content"] or "") + flat(value)
                else:
                    _add(message, {name: value})
    if calls:
        message["tool_calls"] = list(calls.values())
    return body


def _thought(content: Any) -> str:
    """What Mistral's models think, which comes as parts of their content."""
    if not isinstance(content, list):
        return ""
    return "".join(flat(part.get("thinking")) for part in content if part.get("type") == "thinking")


def _add(message: Json, delta: Json) -> None:
    """Adds what a delta adds: texts and lists grow, dicts do inside, the rest is as told last."""
    for name, value in delta.items():
        had = message.get(name)
        grows = isinstance(value, str | list) and type(had) is type(value)
        if grows and name not in ("role", "type", "id", "index"):
            message[name] = had + value
        elif isinstance(value, dict):
            _add(message.setdefault(name, {}), value)
        elif value is not None:
            message[name] = value


def _response(told: list[Json]) -> Json:
    body = next(
        event["response"] for event in reversed(told) if event["type"] in ("response.completed", "response.incomplete")
    )
    if not body["output"]:  # some servers leave it out of their last event
        body["output"] = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    return dict(body)


def _message(told: list[Json]) -> Json:
    body: Json = {}
    blocks: list[Json] = []
    for event in told:
        match event["type"]:
            case "message_start":
                body = event["message"]
            case "content_block_start":
                blocks.append(event["content_block"])
            case "content_block_delta":
                _grow(blocks[event["index"]], event["delta"])
            case "message_delta":
                body |= event["delta"]
                body["usage"] |= {name: value for name, value in event["usage"].items() if value is not None}
    for block in blocks:
        if isinstance(block.get("input"), str):
            block["input"] = json.loads(block["input"] or "{}")
    return body | {"content": blocks}


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            block["input"] = (block["input"] or "") + delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]


def _ollama(told: list[Json]) -> Json:
    body = told[-1]
    message: Json = {}
    for event in told:
        _add(message, event.get("message") or {"response": event.get("response")})
    return body | ({"message": message} if "message" in body else message)

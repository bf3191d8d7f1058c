"""Token counts of Chat Completions in disjoint buckets.

OpenAI's figures overlap: cached, audio and image tokens are inside prompt_tokens, reasoning, audio and image tokens
inside completion_tokens. The servers that copied the format kept that, so one reading serves all of them.
"""

from decimal import Decimal, InvalidOperation
from typing import Any

from llmcore._core import Usage

__all__ = ["reported_cost", "usage_of", "usage_of_images", "usage_of_messages", "usage_of_responses"]

_MOST = 1 << 53  # a count above this is no count
_MOST_NANO_USD = 1 << 62


def usage_of(raw: Any, total_holds_reasoning: bool = False) -> Usage:
    """The `usage` object of an answer, normalised.

    Parts that contradict the totals are cut to fit them, so that the views of Usage always equal what the provider says
    of the whole. Without usable figures, and where all of them are 0, which no answer is: all zero and `estimated`.
    """
    if type(raw) is not dict:
        return Usage(estimated=True)
    prompt = _count(raw.get("prompt_tokens")) or 0
    completion = _count(raw.get("completion_tokens")) or 0
    if not prompt and not completion:
        return Usage(estimated=True)
    hidden = 0
    if total_holds_reasoning:  # Gemini's: thoughts are billed as output, and counted in the total alone
        hidden = max((_count(raw.get("total_tokens")) or 0) - prompt - completion, 0)

    inside = raw.get("prompt_tokens_details")
    cached = written = audio = image = 0
    if type(inside) is not dict:
        # DeepSeek, and servers that have no details. Mistral's num_cached_tokens is no discount, so it is left alone.
        name = "prompt_cache_hit_tokens" if "prompt_cache_hit_tokens" in raw else "cached_tokens"
        cached = _part(raw, name, prompt)
    elif any(inside.values()):
        cached = _part(inside, "cached_tokens", prompt)
        written = _part(inside, "cache_write_tokens", prompt - cached)
        audio = _part(inside, "audio_tokens", prompt - cached - written)
        image = _part(inside, "image_tokens", prompt - cached - written - audio)

    inside = raw.get("completion_tokens_details")
    reasoning = spoken = drawn = 0
    if type(inside) is not dict:
        reasoning = hidden
        completion += hidden
    elif hidden or any(inside.values()):
        reasoning = _part(inside, "reasoning_tokens", _MOST)
        if reasoning and _count(raw.get("total_tokens")) == prompt + completion + reasoning:
            completion += reasoning  # xAI counts it beside its completion tokens
        elif hidden:
            completion += hidden
            reasoning = max(reasoning, hidden)
        reasoning = min(reasoning, completion)
        spoken = _part(inside, "audio_tokens", completion - reasoning)
        drawn = _part(inside, "image_tokens", completion - reasoning - spoken)

    plain, text = prompt - cached - written - audio - image, completion - reasoning - spoken - drawn
    return Usage(
        plain, cached, written, 0, text, reasoning, audio, 0, spoken, image, drawn
    )  # a third of the time of names


def reported_cost(raw: Any) -> int | None:
    """What the provider says the call cost, in nano-USD (OpenRouter); None: it does not say."""
    cost = raw.get("cost") if type(raw) is dict else None
    if cost is None:
        return None
    if not isinstance(cost, int | float) or isinstance(cost, bool):
        return None
    try:
        nano = int((Decimal(repr(cost)) * 1_000_000_000).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return nano if 0 <= nano < _MOST_NANO_USD else None


def _count(value: Any) -> int | None:
    if type(value) is int:
        return value if 0 <= value < _MOST else None
    return int(value) if type(value) is float and value.is_integer() and 0 <= value < _MOST else None


def _part(raw: dict[str, Any], name: str, most: int) -> int:
    value = raw.get(name)
    return min(_count(value) or 0, most) if value else 0


def usage_of_images(raw: Any, images: int) -> Usage:
    """The `usage` object of an answer of pictures. Models that are paid by the picture have none: only `images`."""
    usage = Usage(images=images)
    if type(raw) is not dict:
        return usage
    prompt, drawn = _count(raw.get("input_tokens")) or 0, _count(raw.get("output_tokens")) or 0
    inside = raw.get("input_tokens_details")
    inside = inside if type(inside) is dict else {}
    usage.cache_read = _part(inside, "cached_tokens", prompt)
    usage.image_input = _part(inside, "image_tokens", prompt - usage.cache_read)
    usage.input_uncached = prompt - usage.cache_read - usage.image_input
    outside = raw.get("output_tokens_details")
    usage.output_text = _part(outside, "text_tokens", drawn) if type(outside) is dict else 0
    usage.image_output = drawn - usage.output_text
    return usage


def usage_of_messages(raw: Any) -> Usage:
    """The `usage` object of Anthropic's Messages, where cached tokens stand beside input_tokens."""
    if type(raw) is not dict:
        return Usage(estimated=True)
    prompt, completion = _count(raw.get("input_tokens")) or 0, _count(raw.get("output_tokens")) or 0
    written = _count(raw.get("cache_creation_input_tokens")) or 0
    cached = _count(raw.get("cache_read_input_tokens")) or 0
    if not (prompt or completion or written or cached):
        return Usage(estimated=True)
    inside = raw.get("cache_creation")
    hour = _part(inside, "ephemeral_1h_input_tokens", written) if type(inside) is dict else 0
    inside = raw.get("output_tokens_details")
    thought = _part(inside, "thinking_tokens", completion) if type(inside) is dict else 0
    inside = raw.get("server_tool_use")
    searches = _part(inside, "web_search_requests", _MOST) if type(inside) is dict else 0
    return Usage(prompt, cached, written - hour, hour, completion - thought, thought, web_searches=searches)


def usage_of_responses(raw: Any) -> Usage:
    """The `usage` object of OpenAI's Responses, whose details are inside the totals."""
    if type(raw) is not dict:
        return Usage(estimated=True)
    prompt, completion = _count(raw.get("input_tokens")) or 0, _count(raw.get("output_tokens")) or 0
    if not prompt and not completion:
        return Usage(estimated=True)
    inside = raw.get("input_tokens_details")
    inside = inside if type(inside) is dict else {}
    cached = _part(inside, "cached_tokens", prompt)
    written = _part(inside, "cache_write_tokens", prompt - cached)
    audio = _part(inside, "audio_tokens", prompt - cached - written)
    image = _part(inside, "image_tokens", prompt - cached - written - audio)
    inside = raw.get("output_tokens_details")
    inside = inside if type(inside) is dict else {}
    reasoning = _part(inside, "reasoning_tokens", completion)
    spoken = _part(inside, "audio_tokens", completion - reasoning)
    drawn = _part(inside, "image_tokens", completion - reasoning - spoken)
    plain, text = prompt - cached - written - audio - image, completion - reasoning - spoken - drawn
    return Usage(plain, cached, written, 0, text, reasoning, audio, 0, spoken, image, drawn)

"""The short way of the drop-in's plain calls: no stream, no raw response, nothing special about the HTTP client.

For each call the SDK makes a request and a response of its HTTP client, and builds its value field by field. A plain
call needs neither of the two, and pydantic builds the same value from the same bytes in a fraction of the time. What is
sent and what is returned are equal, byte for byte and field for field; whatever is not plain goes the SDK's own way.
"""

import logging
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from openai import BaseModel
from openai._constants import RAW_RESPONSE_HEADER
from openai._models import add_request_id
from openai._utils import is_given

from llmcore.types import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai._models import FinalRequestOptions

__all__ = ["HOP", "PlainCalls", "is_of_the_sdk", "plain_answer"]

#: What the HTTP client says of the connection and of bodies on it, which is the transport's own affair.
HOP: Final = ("host", "connection", "content-length", "accept-encoding")
#: The steps of the SDK that are not taken here. One that a subclass or a tracing library has replaced is taken.
_LEFT_OUT: Final = ("_build_request", "_prepare_request", "_prepare_url", "_process_response", "_process_response_data")
#: Whose answers are objects of plain fields. Vectors come as base64, which is not what their type says.
_READ: Final = ("/chat/completions", "/responses")
_RAW: Final = RAW_RESPONSE_HEADER.lower()
_log: Final = logging.getLogger("openai._base_client")
#: How the SDK encodes a body; None: it leaves that to its HTTP client, as older ones do, and every call goes their way.
_dumps: "Callable[[object], bytes] | None"
try:
    from openai._utils._json import openapi_dumps

    _dumps = openapi_dumps
except ImportError:
    _dumps = None


class PlainCalls:
    """The plain calls of one client of the SDK's. Thread-safe."""

    def __init__(self) -> None:
        self._urls: dict[str, tuple[Any, str]] = {}

    def request(self, sdk: Any, options: "FinalRequestOptions", body: Mapping[str, Any]) -> HttpRequest | None:
        """What the SDK would send; None: it has to say so itself.

        :param sdk: the client
        :param body: what `options` say it is, the program's additions included
        """
        client = sdk._client
        if (
            _dumps is None
            or not isinstance(options.json_data, dict)
            or options.content is not None
            or options.files is not None
            or options.params
            or sdk.default_query
            or client.params
            or client.cookies
            or getattr(sdk, "_provider_runtime", None) is not None
            or not all(is_of_the_sdk(getattr(sdk, name, None)) for name in _LEFT_OUT)
            or _log.isEnabledFor(logging.DEBUG)
        ):
            return None
        built = dict(sdk._build_headers(options, retries_taken=0).items())  # names in lower case
        if _RAW in built or "content-type" not in built:
            return None
        try:
            encoded = _dumps(body)
        except (TypeError, ValueError):  # perhaps something that is to be left out
            return None
        headers = {**dict(client.headers.items()), **built}
        for name in HOP:
            headers.pop(name, None)
        return HttpRequest(self._url(sdk, options.url), headers, encoded)

    def _url(self, sdk: Any, path: str) -> str:
        base = sdk.base_url
        known = self._urls.get(path)
        if known is None or known[0] is not base:
            known = self._urls[path] = (base, str(sdk._prepare_url(path)))
        return known[1]


def is_of_the_sdk(function: Any) -> bool:
    """Whether a function, or a method of an object, is one that the SDK defines: not a subclass, nor a library that
    wraps it to see the calls.
    """
    if type(function) is MethodType:
        function = function.__func__
    return type(function) is FunctionType and function.__globals__["__name__"].startswith("openai.")


def plain_answer(
    sdk: Any, kind: str, cast_to: Any, options: "FinalRequestOptions", headers: Mapping[str, str], body: bytes
) -> Any:
    """The value that the SDK makes of an answer; None: it has to do so itself.

    :param kind: the end of the URL
    :param headers: of the answer; empty where it came from the cache
    """
    if kind not in _READ or sdk._strict_response_validation or not cast_to.__module__.startswith("openai.types."):
        return None
    try:
        made = cast_to.model_validate_json(body, strict=True)
    except ValueError:  # what does not fit its type is left as it is, which is the SDK's art
        return None
    choices = getattr(made, "choices", ())
    for part in (made, *choices, *(choice.message for choice in choices)):
        if part.__pydantic_extra__:  # which the SDK does not count among what was set
            part.__pydantic_fields_set__.difference_update(part.__pydantic_extra__)
    if is_given(options.post_parser):
        made = options.post_parser(made)
    if isinstance(made, BaseModel):
        add_request_id(made, headers.get("x-request-id"))
    return made

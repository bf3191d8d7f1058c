"""llmcore: the layer between a program and every language model it calls.

::

    from llmcore import LLMClient

    client = LLMClient()                                  # or LLMClient("openai", "gpt-4o-mini")
    answer = client.complete([{"role": "user", "content": "Say hello."}])
    print(answer.content, answer.cost)

Importing this package loads nothing heavy and opens nothing; each public name loads its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmcore._core import Backoff as Backoff
    from llmcore._core import Budget as Budget
    from llmcore._core import Engine as Engine
    from llmcore._core import ErrorRecovery as ErrorRecovery
    from llmcore._core import JournalError as JournalError
    from llmcore._core import JournalReader as JournalReader
    from llmcore._core import JournalWriter as JournalWriter
    from llmcore._core import OfflineGenerator as OfflineGenerator
    from llmcore._core import Outcome as Outcome
    from llmcore._core import Priority as Priority
    from llmcore._core import RateLimiter as RateLimiter
    from llmcore._core import RecordKind as RecordKind
    from llmcore._core import RequestQueue as RequestQueue
    from llmcore._core import ResponseCache as ResponseCache
    from llmcore._core import TokenTracker as TokenTracker
    from llmcore._core import Usage as Usage
    from llmcore._core import __version__ as __version__
    from llmcore.aclient import AsyncLLMClient as AsyncLLMClient
    from llmcore.call_context import context as context
    from llmcore.client import LLMClient as LLMClient
    from llmcore.config import Settings as Settings
    from llmcore.conversation import ConversationMemory as ConversationMemory
    from llmcore.errors import BudgetExceededError as BudgetExceededError
    from llmcore.errors import LedgerError as LedgerError
    from llmcore.errors import LLMAuthError as LLMAuthError
    from llmcore.errors import LLMBadRequestError as LLMBadRequestError
    from llmcore.errors import LLMCancelledError as LLMCancelledError
    from llmcore.errors import LLMConfigError as LLMConfigError
    from llmcore.errors import LLMConnectionError as LLMConnectionError
    from llmcore.errors import LLMContextLengthError as LLMContextLengthError
    from llmcore.errors import LLMError as LLMError
    from llmcore.errors import LLMRateLimitError as LLMRateLimitError
    from llmcore.errors import LLMServerError as LLMServerError
    from llmcore.errors import LLMTimeoutError as LLMTimeoutError
    from llmcore.errors import LLMValidationError as LLMValidationError
    from llmcore.errors import QueueFullError as QueueFullError
    from llmcore.errors import QueueTimeoutError as QueueTimeoutError
    from llmcore.errors import ReplayError as ReplayError
    from llmcore.errors import UnknownModelError as UnknownModelError
    from llmcore.integrations.fastapi import llm_services_provider as llm_services_provider
    from llmcore.integrations.instrument import instrument as instrument
    from llmcore.kinds import EmbeddingResponse as EmbeddingResponse
    from llmcore.kinds import ImageResponse as ImageResponse
    from llmcore.ledger.costs import CostTracker as CostTracker
    from llmcore.ledger.costs import LLMUsageRecord as LLMUsageRecord
    from llmcore.ledger.logger import LLMLogger as LLMLogger
    from llmcore.ledger.logger import log_rag_query as log_rag_query
    from llmcore.ledger.repo import LLMCall as LLMCall
    from llmcore.ledger.repo import LLMCallRepository as LLMCallRepository
    from llmcore.ledger.requests import LLMRequestRepo as LLMRequestRepo
    from llmcore.ledger.tracker import UsageTracker as UsageTracker
    from llmcore.prepare import CostEstimate as CostEstimate
    from llmcore.pricing import CostCalculator as CostCalculator
    from llmcore.providers.anthropic import AnthropicProvider as AnthropicProvider
    from llmcore.providers.azure import AzureOpenAIProvider as AzureOpenAIProvider
    from llmcore.providers.base import LLMProvider as LLMProvider
    from llmcore.providers.llama import LocalLlamaProvider as LocalLlamaProvider
    from llmcore.providers.offline import OfflineProvider as OfflineProvider
    from llmcore.providers.ollama import OllamaProvider as OllamaProvider
    from llmcore.providers.openai import OpenAIProvider as OpenAIProvider
    from llmcore.providers.registry import create_provider as create_provider
    from llmcore.providers.registry import register_provider as register_provider
    from llmcore.providers.responses import OpenAIResponsesProvider as OpenAIResponsesProvider
    from llmcore.providers.stream import StreamDecoder as StreamDecoder
    from llmcore.recording import ReplayLogger as ReplayLogger
    from llmcore.recording import ReplayRng as ReplayRng
    from llmcore.recording import ReplayValidator as ReplayValidator
    from llmcore.replay_transport import ReplayTransport as ReplayTransport
    from llmcore.runtime import Runtime as Runtime
    from llmcore.search import OpenAISearch as OpenAISearch
    from llmcore.search import SearchBackend as SearchBackend
    from llmcore.search import SearchResponse as SearchResponse
    from llmcore.search import SearxngSearch as SearxngSearch
    from llmcore.service.dto import LLMMessageDTO as LLMMessageDTO
    from llmcore.service.dto import LLMRequestDTO as LLMRequestDTO
    from llmcore.service.dto import LLMResponseDTO as LLMResponseDTO
    from llmcore.service.public import LLMServicesProvider as LLMServicesProvider
    from llmcore.service.service import LLMService as LLMService
    from llmcore.stream import AsyncLLMStream as AsyncLLMStream
    from llmcore.stream import LLMStream as LLMStream
    from llmcore.structured import StructuredResponse as StructuredResponse
    from llmcore.tools import ToolRun as ToolRun
    from llmcore.tools import tool as tool
    from llmcore.types import CallContext as CallContext
    from llmcore.types import CallRecord as CallRecord
    from llmcore.types import Chunk as Chunk
    from llmcore.types import Citation as Citation
    from llmcore.types import EmbeddingReply as EmbeddingReply
    from llmcore.types import EmbeddingRequest as EmbeddingRequest
    from llmcore.types import Failure as Failure
    from llmcore.types import HttpRequest as HttpRequest
    from llmcore.types import Image as Image
    from llmcore.types import ImageReply as ImageReply
    from llmcore.types import ImageRequest as ImageRequest
    from llmcore.types import LLMCallStatusEnum as LLMCallStatusEnum
    from llmcore.types import LLMCallTypeEnum as LLMCallTypeEnum
    from llmcore.types import LLMRequest as LLMRequest
    from llmcore.types import LLMResponse as LLMResponse
    from llmcore.types import Money as Money
    from llmcore.types import Reply as Reply
    from llmcore.types import Sink as Sink
    from llmcore.types import Texts as Texts
    from llmcore.types import ToolCall as ToolCall
    from llmcore.types import ToolCallDelta as ToolCallDelta

_HOME = {
    "AnthropicProvider": "providers.anthropic",
    "AsyncLLMClient": "aclient",
    "AsyncLLMStream": "stream",
    "AzureOpenAIProvider": "providers.azure",
    "Backoff": "_core",
    "Budget": "_core",
    "BudgetExceededError": "errors",
    "CallContext": "types",
    "CallRecord": "types",
    "Chunk": "types",
    "Citation": "types",
    "ConversationMemory": "conversation",
    "CostCalculator": "pricing",
    "CostEstimate": "prepare",
    "CostTracker": "ledger.costs",
    "EmbeddingReply": "types",
    "EmbeddingRequest": "types",
    "EmbeddingResponse": "kinds",
    "Engine": "_core",
    "ErrorRecovery": "_core",
    "Failure": "types",
    "HttpRequest": "types",
    "Image": "types",
    "ImageReply": "types",
    "ImageRequest": "types",
    "ImageResponse": "kinds",
    "JournalError": "_core",
    "JournalReader": "_core",
    "JournalWriter": "_core",
    "LLMAuthError": "errors",
    "LLMBadRequestError": "errors",
    "LLMCall": "ledger.repo",
    "LLMCallRepository": "ledger.repo",
    "LLMCallStatusEnum": "types",
    "LLMCallTypeEnum": "types",
    "LLMCancelledError": "errors",
    "LLMClient": "client",
    "LLMConfigError": "errors",
    "LLMConnectionError": "errors",
    "LLMContextLengthError": "errors",
    "LLMError": "errors",
    "LLMLogger": "ledger.logger",
    "LLMMessageDTO": "service.dto",
    "LLMProvider": "providers.base",
    "LLMRateLimitError": "errors",
    "LLMRequest": "types",
    "LLMRequestDTO": "service.dto",
    "LLMRequestRepo": "ledger.requests",
    "LLMResponse": "types",
    "LLMResponseDTO": "service.dto",
    "LLMServerError": "errors",
    "LLMService": "service.service",
    "LLMServicesProvider": "service.public",
    "LLMStream": "stream",
    "LLMTimeoutError": "errors",
    "LLMUsageRecord": "ledger.costs",
    "LLMValidationError": "errors",
    "LedgerError": "errors",
    "LocalLlamaProvider": "providers.llama",
    "Money": "types",
    "OfflineGenerator": "_core",
    "OfflineProvider": "providers.offline",
    "OllamaProvider": "providers.ollama",
    "OpenAIProvider": "providers.openai",
    "OpenAIResponsesProvider": "providers.responses",
    "OpenAISearch": "search",
    "Outcome": "_core",
    "Priority": "_core",
    "QueueFullError": "errors",
    "QueueTimeoutError": "errors",
    "RateLimiter": "_core",
    "RecordKind": "_core",
    "ReplayError": "errors",
    "ReplayLogger": "recording",
    "ReplayRng": "recording",
    "ReplayTransport": "replay_transport",
    "ReplayValidator": "recording",
    "Reply": "types",
    "RequestQueue": "_core",
    "ResponseCache": "_core",
    "Runtime": "runtime",
    "SearchBackend": "search",
    "SearchResponse": "search",
    "SearxngSearch": "search",
    "Settings": "config",
    "Sink": "types",
    "StreamDecoder": "providers.stream",
    "StructuredResponse": "structured",
    "Texts": "types",
    "TokenTracker": "_core",
    "ToolCall": "types",
    "ToolCallDelta": "types",
    "ToolRun": "tools",
    "UnknownModelError": "errors",
    "Usage": "_core",
    "UsageTracker": "ledger.tracker",
    "__version__": "_core",
    "context": "call_context",
    "create_provider": "providers.registry",
    "instrument": "integrations.instrument",
    "llm_services_provider": "integrations.fastapi",
    "log_rag_query": "ledger.logger",
    "register_provider": "providers.registry",
    "tool": "tools",
}

__all__ = [
    "AnthropicProvider",
    "AsyncLLMClient",
    "AsyncLLMStream",
    "AzureOpenAIProvider",
    "Backoff",
    "Budget",
    "BudgetExceededError",
    "CallContext",
    "CallRecord",
    "Chunk",
    "Citation",
    "ConversationMemory",
    "CostCalculator",
    "CostEstimate",
    "CostTracker",
    "EmbeddingReply",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Engine",
    "ErrorRecovery",
    "Failure",
    "HttpRequest",
    "Image",
    "ImageReply",
    "ImageRequest",
    "ImageResponse",
    "JournalError",
    "JournalReader",
    "JournalWriter",
    "LLMAuthError",
    "LLMBadRequestError",
    "LLMCall",
    "LLMCallRepository",
    "LLMCallStatusEnum",
    "LLMCallTypeEnum",
    "LLMCancelledError",
    "LLMClient",
    "LLMConfigError",
    "LLMConnectionError",
    "LLMContextLengthError",
    "LLMError",
    "LLMLogger",
    "LLMMessageDTO",
    "LLMProvider",
    "LLMRateLimitError",
    "LLMRequest",
    "LLMRequestDTO",
    "LLMRequestRepo",
    "LLMResponse",
    "LLMResponseDTO",
    "LLMServerError",
    "LLMService",
    "LLMServicesProvider",
    "LLMStream",
    "LLMTimeoutError",
    "LLMUsageRecord",
    "LLMValidationError",
    "LedgerError",
    "LocalLlamaProvider",
    "Money",
    "OfflineGenerator",
    "OfflineProvider",
    "OllamaProvider",
    "OpenAIProvider",
    "OpenAIResponsesProvider",
    "OpenAISearch",
    "Outcome",
    "Priority",
    "QueueFullError",
    "QueueTimeoutError",
    "RateLimiter",
    "RecordKind",
    "ReplayError",
    "ReplayLogger",
    "ReplayRng",
    "ReplayTransport",
    "ReplayValidator",
    "Reply",
    "RequestQueue",
    "ResponseCache",
    "Runtime",
    "SearchBackend",
    "SearchResponse",
    "SearxngSearch",
    "Settings",
    "Sink",
    "StreamDecoder",
    "StructuredResponse",
    "Texts",
    "TokenTracker",
    "ToolCall",
    "ToolCallDelta",
    "ToolRun",
    "UnknownModelError",
    "Usage",
    "UsageTracker",
    "__version__",
    "context",
    "create_provider",
    "instrument",
    "log_rag_query",
    "register_provider",
    "tool",
]


#: Public as well, but not for ``from llmcore import *``, which would need the extra that they are for.
_OF_EXTRAS = ("llm_services_provider",)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'llmcore' has no attribute {name!r}")
    value = getattr(import_module(f"llmcore.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*__all__, *_OF_EXTRAS))

"""The identity of a request: SHA-256 over (key version, tenant, provider, model, canonical request), each with its
length before it.

The canonical request is the provider's encoded body, whose keys are sorted: two requests with one fingerprint are the
same bytes on the wire, for the same
tenant. Two tenants never share one.
"""

from llmcore._core import fingerprint

__all__ = ["fingerprint"]

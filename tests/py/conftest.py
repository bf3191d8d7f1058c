"""Settings for every Python test."""

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from support import aimock as support_aimock

# Spools of ledgers that have no folder of their own must not end up in the home of whoever runs the tests.
_state = tempfile.TemporaryDirectory(prefix="llmcore-state-")
os.environ["XDG_STATE_HOME"] = _state.name

# No deadline: how long one example takes says more about a busy machine than about the code. The same examples every
# time, so that a failure is of the change that shows it; HYPOTHESIS_PROFILE=thorough looks further, elsewhere each
# time.
settings.register_profile("llmcore", deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=3_000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "llmcore"))


@pytest.fixture(scope="session")
def aimock_server(pytestconfig: pytest.Config) -> Iterator[support_aimock.Aimock]:
    """The independent fake of providers, one for all tests; installed once, into pytest's cache."""
    cache = pytestconfig.cache
    assert cache is not None
    try:
        command = support_aimock.program(cache.mkdir("aimock"))
    except support_aimock.Missing as problem:
        pytest.skip(str(problem))
    with support_aimock.Aimock(command, support_aimock.FIXTURES) as running:
        yield running


@pytest.fixture
def aimock(aimock_server: support_aimock.Aimock) -> support_aimock.Aimock:
    """The same, calm and with an empty journal."""
    aimock_server.reset()
    return aimock_server

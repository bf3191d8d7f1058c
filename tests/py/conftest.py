"""Settings for every Python test."""

import os
import tempfile

from hypothesis import settings

# Spools of ledgers that have no folder of their own must not end up in the home of whoever runs the tests.
_state = tempfile.TemporaryDirectory(prefix="llmcore-state-")
os.environ["XDG_STATE_HOME"] = _state.name

# No deadline: how long one example takes says more about a busy machine than about the code. The same examples every
# time, so that a failure is of the change that shows it; HYPOTHESIS_PROFILE=thorough looks further, elsewhere each
# time.
settings.register_profile("llmcore", deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=3_000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "llmcore"))

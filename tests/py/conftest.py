"""Settings for every Python test."""

from hypothesis import settings

# No deadline: how long one example takes says more about a busy machine than about the code.
settings.register_profile("llmcore", deadline=None, print_blob=True)
settings.load_profile("llmcore")

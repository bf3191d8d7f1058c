"""The ``llmcore`` command."""

"""``python -m llmcore.cli``: the same as the ``llmcore`` command."""

from llmcore.cli import main

main()

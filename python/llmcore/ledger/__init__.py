"""The memory of all calls: what :class:`~llmcore.ledger.tracker.UsageTracker` writes and
:func:`~llmcore.ledger.stats.report` sums up.
"""

"""A whole call through the engine: queue, limits, money, breaker, records. No peer has one."""

from adapters import REGISTRY, Prepared

REGISTRY.group("engine", "engine: a call from arrival to end (submit, drain, reply, drain)")


@REGISTRY.contender("engine", "llmcore", own=True)
def llmcore() -> Prepared:
    from llmcore import Engine, Priority, Usage
    from llmcore._core import Config, Target

    engine = Engine(Config.server())
    names = {
        "submit": engine.submit,
        "drain": engine.drain,
        "replied": engine.replied,
        "targets": [Target("openai", "gpt-4o-mini", 100, 50)],
        "usage": Usage(90, output_text=20),
        "medium": Priority.MEDIUM,
        "scopes": [],
    }
    statement = """
submit('default', 'chat', medium, 0, None, targets, scopes, 1000, 2000)
sent = drain()[0]
replied(sent.attempt, usage, None, None, 1000, 2000)
drain()
"""
    return statement, names

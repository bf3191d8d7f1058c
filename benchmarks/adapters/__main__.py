"""Measures one contender: `python -m adapters GROUP NAME SECONDS`.

Prints one number: the least of five runs, for one operation.
"""

import inspect
import sys

from adapters import load, seconds

RUNS = 5


def main() -> None:
    group, name, budget = sys.argv[1], sys.argv[2], float(sys.argv[3])
    registry = load()
    waits = registry.groups[group].waits
    found = next(c for c in registry.contenders if (c.group, c.name) == (group, name))
    prepared = found.prepare()
    if not isinstance(prepared, tuple) and not inspect.signature(prepared).parameters:
        print(prepared())  # type: ignore[call-arg]
        return
    count, took = found.least, 0.0
    while took < budget / RUNS:
        took = seconds(prepared, count, waits=waits)  # type: ignore[arg-type]
        if took < budget / RUNS:
            count = count * 2 if took < budget / RUNS / 20 else int(count * budget / RUNS / took * 1.1) + 1
    print(min(seconds(prepared, count, waits=waits) for _ in range(RUNS)) / count * 1e9)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

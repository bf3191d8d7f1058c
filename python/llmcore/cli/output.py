"""What a command found, in three shapes: a table for people, JSON for programs, CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmcore.cli.text import name
from llmcore.errors import LLMConfigError

__all__ = ["as_csv", "as_json", "one_shape", "table"]

#: With one of these at its start, a cell is a formula to a spreadsheet.
_FORMULA: Final = ("=", "+", "-", "@")


def one_shape(*, json: bool, csv: bool) -> None:
    """Refuses two shapes at once.

    :raises LLMConfigError: both are asked for
    """
    if json and csv:
        raise LLMConfigError("--json and --csv exclude each other; name one of them")


def as_json(value: Any) -> str:
    """A value as JSON, in ASCII: whatever is in it, it writes no line of its own on a terminal."""
    return json.dumps(value, indent=2, default=str)


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV with a heading. Text is in one line, and none of it is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return buffer.getvalue().rstrip("\n")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = json.dumps(value, default=str) if isinstance(value, list | tuple | dict) else str(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines in columns: the first ones to the left, the others to the right. The first row is the heading."""
    cells = [[name(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]

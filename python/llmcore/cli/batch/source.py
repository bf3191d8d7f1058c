"""What is left to do of an input: its jobs without those that are finished, its malformed lines without repetitions."""

from collections.abc import Iterator

from llmcore.cli.batch.lines import Job, LineReader, Malformed, parse
from llmcore.cli.batch.seen import FINISHED_FAILED, FINISHED_OK, NEW, SeenIds

__all__ = ["Source"]

#: Finished lines passed over before others get their turn.
_STRIDE = 256
#: Seconds until a pipe that had nothing is asked again.
_PIPE_WAIT = 0.05


class Source:
    """Iterating gives a job, a malformed line, or a number: nothing yet, go on after that many seconds.

    :param model: asked for whatever a line says
    :param default_model: asked for where a line names none
    """

    def __init__(
        self, reader: LineReader, seen: SeenIds, *, model: str | None = None, default_model: str | None = None
    ) -> None:
        self.reader = reader
        #: ids passed over because an earlier run finished them
        self.finished_ok = 0
        self.finished_failed = 0
        self._seen = seen
        self._model = model
        self._default_model = default_model

    def __iter__(self) -> Iterator[Job | Malformed | float]:
        reader, seen, model, default_model = self.reader, self._seen, self._model, self._default_model
        passed = 0
        for line in reader:
            if line is None:
                yield _PIPE_WAIT
                continue
            item = parse(reader.number, line, model, default_model)
            if item is not None:
                if item.custom_id is None:
                    yield item
                    continue
                found = seen.use(item.custom_id, item.number)
                if found == NEW:
                    yield item
                    continue
                if isinstance(item, Malformed):
                    # The id belongs to another line; each is written with one result only.
                    item.custom_id = None
                    yield item
                    continue
                if found > 0:
                    yield Malformed(
                        item.number,
                        "duplicate_custom_id",
                        f'custom_id "{item.custom_id[:80]}" is that of line {found}; give every line one of its own',
                    )
                    continue
                if found == FINISHED_OK:
                    self.finished_ok += 1
                elif found == FINISHED_FAILED:
                    self.finished_failed += 1
            passed += 1
            if passed % _STRIDE == 0:
                yield 0.0

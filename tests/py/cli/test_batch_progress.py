"""What a running batch shows."""

import io

from llmcore.cli.batch.progress import Progress, Tally


class Screen(io.StringIO):
    """Takes what is written and says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Watch:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_elsewhere_than_on_a_terminal_a_plain_line_tells_rate_tokens_cost_and_eta() -> None:
    screen, watch, tally = Screen(terminal=False), Watch(), Tally(size=1000)
    progress = Progress(tally, "in.jsonl", screen, watch)
    watch.now += 10
    tally.ok, tally.failed, tally.malformed, tally.consumed = 45, 3, 2, 250
    tally.tokens, tally.cost, tally.unpriced, tally.retries = 12_345, 1_500_000_000, 4, 7

    assert progress.tick() == 10.0
    progress.close()

    assert screen.getvalue() == (
        "50 done, 5 failed, 7 attempts failed, 5.0/s, 12.3k tokens, $1.50 + 4 of unknown price, 25%, ETA 0:30\n"
    )


def test_what_does_not_matter_is_left_out() -> None:
    screen, watch = Screen(terminal=False), Watch()
    progress = Progress(Tally(), "-", screen, watch)

    progress.tick()

    assert screen.getvalue() == "0 done, 0.0/s, 0 tokens, $0\n"


def test_the_rate_is_that_of_late_not_that_of_the_whole_run() -> None:
    screen, watch, tally = Screen(terminal=False), Watch(), Tally(size=10_000)
    progress = Progress(tally, "in.jsonl", screen, watch)
    tally.ok = tally.consumed = 1000
    for _ in range(40):
        watch.now += 1
        tally.ok += 1
        tally.consumed += 1
        progress.tick()

    assert "1.0/s" in progress.status()
    assert "ETA 2:29:20" in progress.status()


def test_a_terminal_gets_a_bar_and_lines_of_their_own_above_it() -> None:
    screen, watch, tally = Screen(terminal=True), Watch(), Tally(size=1000)
    progress = Progress(tally, "[in].jsonl", screen, watch)
    watch.now += 1
    tally.ok, tally.consumed = 5, 250

    assert progress.tick() <= 0.2
    progress.say("[note] something")
    progress.close()
    progress.close()

    shown = screen.getvalue()
    assert "[in].jsonl" in shown
    assert "25%" in shown
    assert "5 done" in shown
    assert "[note] something" in shown

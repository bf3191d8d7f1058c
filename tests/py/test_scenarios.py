"""Runs tests/scenarios/*.json through LLMClient and AsyncLLMClient. tests/scenarios/README.md describes the format."""

import asyncio
import threading
from pathlib import Path

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.transport import TransportError
from llmcore.types import Outcome
from support.scenarios import MILLISECOND, PATIENCE, CtrlC, Harness, Json, scenarios
from support.scripted import bare_environment


class Threads(Harness):
    """Each call in a thread of its own."""

    def __init__(self, scenario: Json) -> None:
        self.condition = threading.Condition()
        self.threads: list[threading.Thread] = []
        super().__init__(scenario)

    def changed(self) -> None:
        with self.condition:
            self.condition.notify_all()

    def run(self) -> None:
        try:
            for number, step in enumerate(self.scenario["steps"], 1):
                self.script.lines.clear()
                self.clock.set(step["at_ms"] * MILLISECOND)
                self.perform(step)
                self.settle()
                self.compare(number, step)
            self.compare_counters()
        finally:
            self.runtime.close()
            for thread in self.threads:
                thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads)
        self.compare_books()

    def perform(self, step: Json) -> None:
        if "submit" in step:
            client, arguments = self.arguments(step["submit"])
            name = step["submit"]["call"]
            sending = (LLMClient(**client), arguments)
            thread = threading.Thread(target=self.call, args=sending, name=name, daemon=True)
            self.threads.append(thread)
            thread.start()
        elif "reply" in step:
            self.reply(step["reply"])
        elif "fail" in step:
            self.fail(step["fail"])
        elif "stream" in step:
            self.stream(step["stream"]["call"])
        elif "cancel" in step:
            self.cancel(step["cancel"]["call"])
        else:
            self.runtime.tick()

    def call(self, client: LLMClient, arguments: Json) -> None:
        name = threading.current_thread().name
        try:
            self.results[name] = client.complete(**arguments)
        except BaseException as error:
            self.results[name] = error
        with self.condition:
            self.running.remove(name)
            self.condition.notify_all()

    def cancel(self, name: str) -> None:
        if self.open_exchange(name) is not None:
            self.exchange_of(name).fail(CtrlC())
            return
        self.runtime.cancel(self.parking.parked[self.script.names.index(name) + 1])

    def settle(self) -> None:
        self.rest()
        while given_up := self.given_up():
            given_up[0].fail(TransportError(Outcome.TIMEOUT, "gave up"))
            self.rest()

    def rest(self) -> None:
        with self.condition:
            assert self.condition.wait_for(lambda: not self.busy(), PATIENCE), f"not at rest: {self.busy()}"


class Tasks(Harness):
    """Each call in a task of its own, all on one event loop."""

    def __init__(self, scenario: Json) -> None:
        self.event = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        super().__init__(scenario)

    def changed(self) -> None:
        self.event.set()

    async def run(self) -> None:
        try:
            for number, step in enumerate(self.scenario["steps"], 1):
                self.script.lines.clear()
                self.clock.set(step["at_ms"] * MILLISECOND)
                await self.perform(step)
                await self.settle()
                self.compare(number, step)
            self.compare_counters()
        finally:
            await self.runtime.aclose()
            await asyncio.wait_for(asyncio.gather(*self.tasks.values()), PATIENCE)
        self.compare_books()

    async def perform(self, step: Json) -> None:
        if "submit" in step:
            client, arguments = self.arguments(step["submit"])
            name = step["submit"]["call"]
            self.tasks[name] = asyncio.create_task(self.call(name, AsyncLLMClient(**client), arguments), name=name)
        elif "reply" in step:
            self.reply(step["reply"])
        elif "fail" in step:
            self.fail(step["fail"])
        elif "stream" in step:
            self.stream(step["stream"]["call"])
        elif "cancel" in step:
            task = self.tasks[step["cancel"]["call"]]
            task.cancel()
            await asyncio.wait_for(task, PATIENCE)
        else:
            self.runtime.tick()

    async def call(self, name: str, client: AsyncLLMClient, arguments: Json) -> None:
        try:
            self.results[name] = await client.complete(**arguments)
        except BaseException as error:
            self.results[name] = error
        self.running.remove(name)
        self.event.set()

    async def settle(self) -> None:
        await self.rest()
        while given_up := self.given_up():
            given_up[0].fail(TransportError(Outcome.TIMEOUT, "gave up"))
            await self.rest()

    async def rest(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while self.busy():
                    self.event.clear()
                    await self.event.wait()
        except TimeoutError:
            raise AssertionError(f"not at rest: {self.busy()}") from None


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario["name"])
def test_threads_bring_about_exactly_the_expected_actions(scenario: Json) -> None:
    Threads(scenario).run()


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario["name"])
async def test_tasks_bring_about_exactly_the_expected_actions(scenario: Json) -> None:
    await Tasks(scenario).run()


def test_a_wrong_expectation_fails() -> None:
    step = {"at_ms": 0, "submit": {"call": "a", "to": ["p1/m1"]}, "expect": ["send a 1 p1/m1 by=60001"]}
    with pytest.raises(AssertionError, match=r"by=60001[\s\S]*by=60000"):
        Threads({"steps": [step]}).run()

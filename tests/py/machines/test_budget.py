"""Budget under any sequence of operations, against dictionaries: see budget.hpp."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from llmcore._core import Budget, BudgetReservation, BudgetRule, Period

HOUR = 3600 * 1_000_000_000
Scopes = list[tuple[str, str]]
Held = BudgetReservation | MultipleResults[BudgetReservation]

limits = st.builds(
    BudgetRule,
    st.sampled_from(["global", "user=*", "user=ada", "game=*", "game=a=b"]),
    st.sampled_from(Period),
    st.sampled_from([0, 1, 7, 100, 1000]) | st.integers(0, 2**63 - 1),
    st.sets(st.integers(1, 150) | st.just(1_000_000), max_size=3).map(sorted),
)
scopes = st.lists(
    st.tuples(st.sampled_from(["user", "game", "model"]), st.sampled_from(["ada", "bob", "a=b", "*"])), max_size=3
)
amounts = st.integers(0, 60) | st.integers(0, 2**61)
steps = st.sampled_from([0, 0, 0, 1, HOUR, 24 * HOUR, 31 * 24 * HOUR, -HOUR, -24 * HOUR]) | st.integers(-HOUR, 9 * HOUR)


def period_of(period: Period, wall: int) -> int:
    if period is Period.MONTH:
        day = datetime.fromtimestamp(wall // 10**9, UTC)
        return day.year * 12 + day.month - 1
    return {Period.HOUR: wall // HOUR, Period.DAY: wall // (24 * HOUR), Period.TOTAL: 0}[period]


@dataclass
class Book:
    spent: int = 0
    reserved: int = 0
    told: set[int] = field(default_factory=set)


class BudgetMachine(RuleBasedStateMachine):
    reservations: Bundle[BudgetReservation] = Bundle("reservations")

    @initialize(limits=st.lists(limits, max_size=4), wall=st.integers(0, 2**61))
    def make(self, limits: list[BudgetRule], wall: int) -> None:
        self.limits, self.budget = limits, Budget(limits)
        self.wall = self.newest = wall
        self.periods: list[int | None] = [None] * len(limits)
        self.books: list[dict[str, Book]] = [defaultdict(Book) for _ in limits]
        self.held: dict[BudgetReservation, tuple[int, list[tuple[int, str]]]] = {}

    def at(self, step: int) -> int:
        """The wall clock of the next operation. One that goes back never opens an old period again."""
        self.wall = min(max(self.wall + step, 0), 2**62)
        self.newest = max(self.newest, self.wall)
        for number, limit in enumerate(self.limits):
            period = period_of(limit.period, self.newest)
            if self.periods[number] != period:
                self.periods[number] = period
                for book in self.books[number].values():
                    book.spent, book.told = 0, set()
        return self.wall

    def accounts_of(self, scopes: Scopes) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for number, limit in enumerate(self.limits):
            if limit.scope == "global":
                found.append((number, "global"))
                continue
            key, _, value = limit.scope.partition("=")
            mine = [f"{k}={v}" for k, v in scopes if k == key and value in ("*", v)]
            found += [(number, account) for account in dict.fromkeys(mine)]
        return found

    def full(self, account: tuple[int, str], amount: int | None) -> bool:
        number, scope = account
        book = self.books[number][scope]
        return amount is None or book.spent + book.reserved + amount > self.limits[number].limit

    @rule(scopes=scopes, amount=st.none() | amounts, step=steps)
    def ask(self, scopes: Scopes, amount: int | None, step: int) -> None:
        refusal = self.budget.refusal(scopes, amount, wall=self.at(step))
        against = [account for account in self.accounts_of(scopes) if self.full(account, amount)]
        assert (refusal is not None) == bool(against)
        if refusal is not None:
            assert (refusal.rule, refusal.scope) in against
            limit, book = self.limits[refusal.rule], self.books[refusal.rule][refusal.scope]
            assert (refusal.period, refusal.limit) == (limit.period, limit.limit)
            assert (refusal.spent, refusal.reserved) == (book.spent, book.reserved)
            assert (refusal.needed, refusal.price_unknown) == (amount or 0, amount is None)

    @rule(scopes=scopes, amount=amounts, step=steps, target=reservations)
    def reserve(self, scopes: Scopes, amount: int, step: int) -> Held:
        held = self.budget.reserve(scopes, amount, wall=self.at(step))
        accounts = self.accounts_of(scopes)
        assert (held is None) == any(self.full(account, amount) for account in accounts)
        if held is None:
            return multiple()
        assert held.amount == amount
        for number, scope in accounts:
            self.books[number][scope].reserved += amount
        self.held[held] = amount, accounts
        return held

    @rule(held=consumes(reservations), cost=amounts, step=steps)
    def settle(self, held: BudgetReservation, cost: int, step: int) -> None:
        alerts = self.budget.settle(held, cost, wall=self.at(step))
        amount, accounts = self.held.pop(held)
        expected = []
        for number, scope in accounts:
            book, limit = self.books[number][scope], self.limits[number]
            book.reserved -= amount
            book.spent = min(book.spent + cost, 2**63 - 1)
            reached = [p for p in limit.alert_percent if cost and book.spent * 100 >= limit.limit * p]
            expected += [(number, scope, p, book.spent, limit.limit) for p in reached if p not in book.told]
            book.told |= set(reached)
        assert [(a.rule, a.scope, a.percent, a.spent, a.limit) for a in alerts] == expected

    @rule(held=consumes(reservations))
    def release(self, held: BudgetReservation) -> None:
        self.budget.release(held)
        amount, accounts = self.held.pop(held)
        for number, scope in accounts:
            self.books[number][scope].reserved -= amount

    @invariant()
    def holds_the_same_accounts(self) -> None:
        expected = [
            {
                "scope": scope,
                "period": limit.period.name.lower(),
                "limit_nano_usd": limit.limit,
                "spent_nano_usd": book.spent,
                "reserved_nano_usd": book.reserved,
            }
            for limit, books in zip(self.limits, self.books, strict=True)
            for scope, book in sorted(books.items())
            if book.spent or book.reserved
        ]
        assert self.budget.accounts() == expected
        reserved = sum(book.reserved for books in self.books for book in books.values())
        assert self.budget.reserved() == min(reserved, 2**63 - 1)


TestBudget = BudgetMachine.TestCase

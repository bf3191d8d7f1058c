"""A hand of poker, played by bots and told by a commentator: decisions that a model makes, words that stream.

::

    python examples/poker_commentary.py                             # made-up answers, without a key or a network
    OPENAI_API_KEY=... python examples/poker_commentary.py --provider openai --model gpt-4o-mini --budget 0.02

A decision is a value of a type: the model is held to it, and a move that the rules forbid becomes a fold. Whoever waits
for a decision waits for the game, so decisions have high priority and a short deadline; the commentary may come later.
Each player has a budget: one whose bot has spent it folds. All that is said stays in the commentator's memory.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from pydantic import BaseModel, Field

from llmcore import (
    BudgetExceededError,
    ConversationMemory,
    LLMClient,
    LLMError,
    Priority,
    Settings,
    UsageTracker,
    context,
)
from llmcore.ledger.stats import get_cost_stats

RANKS, SUITS = "23456789TJQKA", "shdc"
STREETS = (("flop", 3), ("turn", 1), ("river", 1))
STAKE, STACK = 10, 500


class Move(BaseModel):
    """What a player does."""

    action: Literal["fold", "call", "raise"]
    amount: int = Field(0, ge=0, le=STACK, description="chips to raise by; 0 for a call or a fold")
    thought: str = Field(max_length=200, description="why, in a few words")


@dataclass
class Player:
    """A seat at the table."""

    name: str
    style: str
    cards: list[str] = field(default_factory=list)
    chips: int = STACK
    bet: int = 0
    folded: bool = False


def chips_of(player: Player) -> int:
    """The chips that a player may still bet."""
    return player.chips - player.bet


class Table:
    """One hand: who bets what, and what is told of it."""

    def __init__(self, client: LLMClient, players: list[Player], seed: int) -> None:
        self.client, self.players = client, players
        self.memory = ConversationMemory("You comment on a poker hand, one lively sentence at a time.", max_messages=12)
        self.deck = [rank + suit for rank in RANKS for suit in SUITS]
        Random(seed).shuffle(self.deck)
        self.board: list[str] = []
        for player in players:
            player.cards = [self.deck.pop(), self.deck.pop()]

    @property
    def to_call(self) -> int:
        """What everybody has to have bet."""
        return max(STAKE, *(player.bet for player in self.players))

    def play(self, number: int) -> list[Player]:
        """Plays the hand; returns who is still in it."""
        with context(game_id="friday-night", hand_number=number):
            self.round("before the flop")
            for street, cards in STREETS:
                if len(self.left()) < 2:
                    break
                self.board += [self.deck.pop() for _ in range(cards)]
                self.tell(f"The {street}: {' '.join(self.board)}.")
                self.round(street)
            return self.left()

    def left(self) -> list[Player]:
        """Who has not folded."""
        return [player for player in self.players if not player.folded]

    def round(self, street: str) -> None:
        """Everybody acts once."""
        for player in self.left():
            if len(self.left()) > 1:
                self.act(player, self.decide(player, street))

    def decide(self, player: Player, street: str) -> Move:
        """Asks a player's bot. Whatever goes wrong, the game goes on: without an answer he folds."""
        seen = f"{street}; board {' '.join(self.board) or 'empty'}; your cards {' '.join(player.cards)}; "
        seen += f"{self.to_call - player.bet} to call, {chips_of(player)} chips left"
        asked = [{"role": "system", "content": f"You play poker, {player.style}."}, {"role": "user", "content": seen}]
        try:
            answer = self.client.complete_structured(
                asked,
                Move,
                max_retries=1,
                priority=Priority.HIGH,
                deadline=10.0,
                call_type="player_decision",
                owner_id=player.name,
                player_name=player.name,
            )
        except BudgetExceededError:
            return Move(action="fold", thought="his bot has spent its budget")
        except LLMError as error:
            return Move(action="fold", thought=f"no answer ({type(error).__name__})")
        return answer.value

    def act(self, player: Player, move: Move) -> None:
        """Does what he wants as far as the rules allow it."""
        amount = self.to_call - player.bet + (move.amount if move.action == "raise" else 0)
        if move.action == "fold" or amount > chips_of(player):
            player.folded = True
            self.tell(f"{player.name} folds ({move.thought}).")
        else:
            player.bet += amount
            self.tell(f"{player.name} {move.action}s, {player.bet} chips in all.")

    def tell(self, event: str) -> None:
        """Says what happened, and what the commentator makes of it, word by word as it comes."""
        print(f"  {event}")
        try:
            turn = self.memory.turn(event)
            with self.client.stream(turn, max_tokens=60, priority=Priority.LOW, call_type="commentary") as words:
                print("    > ", end="")
                for chunk in words:
                    print(chunk.text, end="", flush=True)
                self.memory.add_turn(event, words.finish())
        except LLMError as error:
            print(f"(the commentator is silent: {type(error).__name__})", end="")
        print()

    def last_words(self) -> str:
        """What there is to say in the end. The commentator may look up what he has not seen."""

        def chips(player: str) -> int:
            """The chips that a player has left.

            :param player: his name
            """
            return next(chips_of(one) for one in self.players if one.name == player)

        asked = self.memory.turn("The hand is over. Who is ahead, and by how much?")
        try:
            return self.client.run_tools(asked, {"chips_of": chips}, max_rounds=5, call_type="commentary").content
        except LLMError as error:
            return f"(the commentator is silent: {type(error).__name__})"


def main() -> int:
    """Plays one hand and tells what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="offline")
    parser.add_argument("--model")
    parser.add_argument("--budget", type=float, help="US dollars for each player's bot")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="the ledger; none: one that is forgotten")
    options = parser.parse_args()

    players = [
        Player("Ada", "patiently, waiting for good cards"),
        Player("Bob", "wildly, and proud of it"),
        Player("Eve", "by the odds alone"),
    ]
    budgets = [
        {"scope": f"owner={player.name}", "period": "total", "limit_usd": str(options.budget)}
        for player in players
        if options.budget is not None
    ]
    with tempfile.TemporaryDirectory() as folder:
        tracker = UsageTracker(options.database or str(Path(folder) / "poker.db"))
        settings = Settings(provider=options.provider, budgets=budgets)
        with LLMClient(model=options.model, settings=settings, tracker=tracker) as client:
            table = Table(client, players, options.seed)
            left = table.play(1)
            print(f"In the end: {', '.join(player.name for player in left)}; {sum(p.bet for p in players)} chips.")
            print(f"  > {table.last_words()}\n")
        tracker.close()
        costs = get_cost_stats(tracker.location, days=1)
        print(f"{costs['total_calls']} calls, {costs['total_cost']} US dollars")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Writes requests.jsonl: what a small game studio asks of a model in one evening, as input of ``llmcore batch``.

Four kinds of work share the file, each with its call type, its priority and the context it is accounted to:

- villagers answer players who stand in front of them (high: somebody is waiting), and players ask the same things;
- poker bots decide, as JSON, and a commentator talks about the hand;
- reviews of the shop are analysed over night (low), as JSON;
- letters to the shop are sorted and boiled down to one sentence (low).

The same file comes out every time::

    python examples/make_requests.py > examples/requests.jsonl
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

VILLAGERS = {
    "Maren": "You are Maren, who has run the inn at the ford for thirty years. You are warm and never in a hurry.",
    "Tobin": "You are Tobin, the smith. You speak in short sentences and judge people by how they treat their tools.",
    "Isolde": "You are Isolde, the herbalist at the edge of the marsh. You answer questions with better questions.",
    "Corvin": "You are Corvin, a retired soldier who guards the bridge at night and misses the company of others.",
    "Pell": "You are Pell, nine years old, who knows every path through the orchard and trades secrets for apples.",
    "Ansgar": "You are Ansgar, the miller. You owe money to half of the village and are cheerful about it.",
    "Wilda": "You are Wilda, keeper of the archive. You trust nothing that is not written down twice.",
    "Orrin": "You are Orrin, a ferryman who has seen strange lights on the water and would rather not talk about them.",
}
QUESTIONS = [
    "Where can I sleep tonight?",
    "Have you heard anything about the lights on the river?",
    "Who could mend my sword before morning?",
    "What happened to the bridge last winter?",
    "I found this silver key in the orchard. Whose is it?",
    "Is the road through the marsh safe?",
    "Why does nobody go near the old mill after dark?",
    "Can you lend me five crowns until the market?",
]
PLAYERS = ["rowan", "sable", "finch", "marlow", "juno"]

BOTS = {
    "Nadia": "You play tight and aggressive. You fold early, and when you do not, you raise.",
    "Lou": "You play loose and love to see a flop. You hate folding to a single bet.",
    "Grigor": "You count pot odds before anything else and never bluff at more than one opponent.",
}
#: hole cards, board, position, pot, bet to call, stack, opponents
SPOTS: list[tuple[str, str, str, int, int, int, int]] = [
    ("As Ks", "", "button", 15, 10, 1000, 3),
    ("7d 7c", "", "under the gun", 15, 10, 820, 5),
    ("Qh Jh", "Th 9c 2d", "cutoff", 120, 60, 640, 2),
    ("Ac Ad", "Ah 8s 3c", "big blind", 90, 30, 1000, 1),
    ("9s 8s", "7s 6d 2s", "button", 140, 70, 510, 2),
    ("Kd Qc", "Kh 5s 5c", "small blind", 75, 50, 430, 1),
    ("5h 4h", "Ah 3h 9d Kc", "big blind", 200, 100, 380, 1),
    ("Jc Jd", "Qs 8h 4c 2s", "cutoff", 160, 80, 720, 2),
    ("Td 9d", "Jd 8c 3d 7h", "button", 310, 120, 905, 1),
    ("Ah 2h", "Kc Qd 7s 4h 4d", "small blind", 240, 240, 350, 1),
    ("Ks Kc", "Ac 9h 6d 6s 2c", "under the gun", 280, 140, 560, 1),
    ("8c 8h", "8d Js Jc 3h 5s", "big blind", 420, 200, 610, 2),
]

#: company, product, text
REVIEWS: list[tuple[str, str, str]] = [
    (
        "northtrail",
        "Fjell boots",
        "Two winters, one resole, still dry inside. The left tongue slips a little on steep ground.",
    ),
    (
        "northtrail",
        "Fjell boots",
        "Beautiful boots. Beautiful blisters too. The width is one size smaller than the label says.",
    ),
    (
        "northtrail",
        "Fjell boots",
        "They arrived with two left shoes. Support laughed with me and had a right one here the next day.",
    ),
    (
        "northtrail",
        "Moss tent",
        "Stood through a storm on the coast that took my neighbour's tent. Pegs are a joke, bring your own.",
    ),
    (
        "northtrail",
        "Moss tent",
        "Leaks at the seam above the door. I wrote three times and got the same template three times.",
    ),
    (
        "northtrail",
        "Moss tent",
        "Light, quick to pitch, and the colour hides dirt. For two people you have to like each other.",
    ),
    (
        "northtrail",
        "Ember stove",
        "Boils half a litre in three minutes, in wind, with cold fingers. I have nothing to add.",
    ),
    (
        "northtrail",
        "Ember stove",
        "The igniter failed in the second week. Matches work, but I did not pay for matches.",
    ),
    ("northtrail", "Ember stove", "Decent stove, absurd price. Wait for the sale in autumn like I should have."),
    (
        "kettleworks",
        "Anna kettle",
        "Pours like a dream and sings on a low note. My cat has stopped being afraid of it.",
    ),
    (
        "kettleworks",
        "Anna kettle",
        "Rust around the spout after a month. Returned it, refund took six weeks and two phone calls.",
    ),
    (
        "kettleworks",
        "Anna kettle",
        "It is a kettle. It boils water. The handle stays cool, which is more than my last one did.",
    ),
    (
        "kettleworks",
        "Bruno grinder",
        "Even grind, quiet enough for an office, and every part can be ordered on its own. Rare.",
    ),
    (
        "kettleworks",
        "Bruno grinder",
        "Static throws coffee all over the shelf. A drop of water on the beans helps; the manual does not.",
    ),
    (
        "kettleworks",
        "Bruno grinder",
        "Motor died after fourteen months, warranty is twelve. They repaired it for free anyway. Respect.",
    ),
    ("kettleworks", "Clara scale", "Precise to the tenth of a gram until the battery is at half, then it guesses."),
    ("kettleworks", "Clara scale", "Returned. The display goes dark exactly when you pour."),
    ("kettleworks", "Clara scale", "Bought one for home, then one for work, then one for my mother."),
    ("lantern", "Page reader", "Reads in full sun, lasts a month, never asks me to log in. That is all I wanted."),
    ("lantern", "Page reader", "After the last update page turns take a second. I read fast; this is torture."),
    ("lantern", "Page reader", "The library app crashes on every third loan. When it works, I love it."),
    ("lantern", "Glow lamp", "Warm light, no flicker, and the switch clicks as if it came from another century."),
    ("lantern", "Glow lamp", "Cable is 90 cm. Ninety. My desk is not a doll's house."),
    ("lantern", "Glow lamp", "One of two arrived broken. The replacement was broken too. The third one is lovely."),
]

LETTERS = [
    "My order 20417 shows as delivered since Tuesday, but nothing is here. Could you ask the courier?",
    "I would like to change the delivery address of order 20388 to Lindenweg 4 before it ships. Thank you!",
    "You charged my card twice for the same tent. I attach the statement. Please give one of the two payments back.",
    "How do I reset the reader? It is stuck on the page with the lamp since the update.",
    "I love your boots, but please, please make them in half sizes.",
    "I want to cancel my subscription to the magazine. The button in the account does nothing.",
    "Do you ship to the Faroe Islands, and what would a grinder cost to get there?",
    "The invoice for order 20101 lacks our VAT number, DK-4471, and our accountant is getting impatient.",
]


def request(number: int, kind: str, messages: list[dict[str, str]], **beside: Any) -> dict[str, Any]:
    """One line of the file; `beside` has max_tokens, json and temperature for the body, and what stands beside it."""
    body: dict[str, Any] = {"model": "gpt-4o-mini", "messages": messages, "max_tokens": beside.pop("max_tokens")}
    if beside.pop("json", False):
        body["response_format"] = {"type": "json_object"}
    if "temperature" in beside:
        body["temperature"] = beside.pop("temperature")
    line = {"custom_id": f"{kind}-{number:03d}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return line | beside


def talk(system: str, user: str) -> list[dict[str, str]]:
    """A prompt of two messages."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def villagers() -> Iterator[dict[str, Any]]:
    """Players and villagers meet by chance, so one question in three has been asked before."""
    names = list(VILLAGERS)
    for number in range(96):
        meeting = number if number % 3 else number // 2
        name, question = names[meeting % 8], QUESTIONS[meeting // 8 % 8]
        yield request(
            number,
            "npc",
            talk(f"{VILLAGERS[name]} Answer in one or two spoken sentences.", question),
            max_tokens=60,
            priority="high",
            call_type="targeted_chat",
            game_id="ford-village",
            session_id=f"evening-{number // 24 + 1}",
            player_name=PLAYERS[number % 5],
            prompt_template="villager/2",
            trace_id=f"npc-{number:03d}",
        )


def poker() -> Iterator[dict[str, Any]]:
    """Every bot decides in every spot, twice at some tables, and the commentator follows each hand."""
    number = 0
    for hand, (hole, board, position, pot, call, stack, opponents) in enumerate(SPOTS, start=1):
        spot = (
            f"Your cards: {hole}. Board: {board or 'none yet'}. Position: {position}. Pot: {pot}. To call: {call}. "
            f"Your stack: {stack}. Opponents still in the hand: {opponents}."
        )
        context = {"game_id": f"table-{hand % 3 + 1}", "hand_number": hand, "trace_id": f"hand-{hand:02d}"}
        for bot, style in BOTS.items():
            for _ in range(2 if hand % 3 == 0 else 1):
                yield request(
                    number,
                    "poker",
                    talk(
                        f"{style} Answer with a JSON object: action (fold, call or raise), amount, reason.",
                        spot,
                    ),
                    max_tokens=80,
                    json=True,
                    temperature=0,
                    priority="high",
                    call_type="player_decision",
                    owner_id=f"bot-{bot.lower()}",
                    player_name=bot,
                    prompt_template="decision/5",
                    **context,
                )
                number += 1
        yield request(
            number,
            "poker",
            talk(
                "You comment on poker for television: two lively sentences.",
                spot.replace("Your", "Nadia's"),
            ),
            max_tokens=70,
            priority="medium",
            call_type="commentary",
            prompt_template="commentary/1",
            **context,
        )
        number += 1


def reviews() -> Iterator[dict[str, Any]]:
    """Each review is judged and put into a drawer; a third of them came in through two shops and are judged twice."""
    asked = [
        (
            "sentiment_analysis",
            "Judge this review. Answer with a JSON object: sentiment (good, mixed or bad), score (-1 to 1), topic.",
            "sentiment/3",
        ),
        (
            "classification",
            "File this review. Answer with a JSON object: drawer (quality, service, price, usability or praise).",
            "drawer/1",
        ),
    ]
    number = 0
    for index, (company, product, text) in enumerate(REVIEWS):
        for call_type, system, template in asked:
            for shop in ("web", "market") if index % 3 == 0 else ("web",):
                yield request(
                    number,
                    "review",
                    talk(system, f"{product}: {text}"),
                    max_tokens=40,
                    json=True,
                    temperature=0,
                    priority="low",
                    call_type=call_type,
                    company_id=company,
                    review_id=f"r{index:02d}-{shop}",
                    prompt_template=template,
                    trackable_type="Review",
                    trackable_id=f"{index}",
                    tags=[shop],
                )
                number += 1


def letters() -> Iterator[dict[str, Any]]:
    """A sentence for the clerk, the facts for the database, and a friendly answer to look over."""
    asked = [
        ("summarization", "Say in one sentence of at most fifteen words what this customer wants.", 40, False),
        (
            "extraction",
            "Answer with a JSON object: order (a number or null), wish (one word), angry (true or false).",
            50,
            True,
        ),
        (
            "chat_suggestion",
            "Draft a friendly answer of two sentences. Promise nothing new.",
            90,
            False,
        ),
    ]
    for index, text in enumerate(LETTERS):
        for step, (call_type, system, max_tokens, as_json) in enumerate(asked):
            yield request(
                index * len(asked) + step,
                "letter",
                talk(system, text),
                max_tokens=max_tokens,
                json=as_json,
                priority="low",
                call_type=call_type,
                user_id=f"clerk-{index % 2 + 1}",
                task_id=f"letter-{index}",
                trace_id=f"letter-{index}",
                metadata={"desk": "post"},
            )


def main() -> None:
    """Mixes the four, as they would come in."""
    streams = [villagers(), poker(), reviews(), letters()]
    while streams:
        for stream in list(streams):
            line = next(stream, None)
            if line is None:
                streams.remove(stream)
            else:
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

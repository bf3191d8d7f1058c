"""How the data are loaded: at the first lookup, without network or threads, shared by all."""

import subprocess
import sys
import threading

from llmcore.config import Settings
from llmcore.pricing import Catalogue


def test_the_data_are_loaded_at_the_first_lookup_without_network_or_threads() -> None:
    program = """
import sys, threading
def refuse(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby")):
        raise RuntimeError(event)
sys.addaudithook(refuse)
import llmcore.pricing
assert "genai_prices" not in sys.modules and "pydantic" not in sys.modules
catalogue = llmcore.pricing.Catalogue()
assert catalogue.card("offline", "m") is not None and "genai_prices" not in sys.modules
assert catalogue.card("openai", "gpt-4o") is not None and "genai_prices" in sys.modules
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_threads_may_share_a_catalogue_from_its_first_lookup_on() -> None:
    shared, found, start = Catalogue(Settings()), [], threading.Barrier(8)
    models = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3"]

    def look_up() -> None:
        start.wait()
        found.append([shared.card("openai", model, 1_760_000_000) for model in models])

    threads = [threading.Thread(target=look_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(cards == found[0] for cards in found)
    assert None not in found[0]

"""A stream that succeeds: chunks are handed out as they come, and the response is a whole one."""

import msgspec

from llmcore.flow_stream import Deliver
from llmcore.types import Chunk, LLMCallStatusEnum, ToolCallDelta
from support.flow_bench import SECOND
from support.stream_bench import DONE, Bench, Head, event, usage


def test_chunks_are_handed_out_as_they_come_and_the_response_is_that_of_a_whole_answer(bench: Bench) -> None:
    flow = bench.flow()
    asked = flow.opens()
    assert msgspec.json.decode(asked.request.body)["stream"] is True
    assert asked.timeout == 60.0
    bench.clock.set(SECOND)
    flow.reads(Head(x_request_id="r-1"))
    assert flow.says(event("Hel") + event("lo")) == ["Hel", "lo"]
    flow.reads()
    bench.clock.set(3 * SECOND)
    assert flow.delivers(event("", "stop")) == [Chunk(finish_reason="stop")]
    flow.reads()
    response = flow.ends(usage() + DONE)
    assert (response.content, response.model, response.finish_reason) == ("Hello", "m1-2024", "stop")
    assert (response.input_tokens, response.output_tokens, response.usage.estimated) == (10, 5, False)
    assert response.cost is not None
    assert response.cost.nano_usd == 20_000
    assert (response.status, response.attempts, response.latency_ms) == (LLMCallStatusEnum.SUCCESS, 1, 3000.0)
    assert response.request_id == "r-1"
    record = bench.record
    assert (record.first_token, record.latency, record.cost) == (SECOND, 3 * SECOND, 20_000)
    assert (record.status, record.finish_reason, record.response_model) == (response.status, "stop", "m1-2024")
    assert bench.rests()


def test_an_answer_whose_end_came_with_its_last_chunks_is_settled_before_they_are_handed_out(bench: Bench) -> None:
    flow = bench.flow()
    flow.opens()
    flow.reads(Head())
    step = flow.go(event("Hello") + event("", "stop") + usage() + DONE)
    assert isinstance(step, Deliver)
    assert [chunk.text for chunk in step.chunks] == ["Hello", ""]
    assert step.answer is not None
    assert bench.record.status is LLMCallStatusEnum.SUCCESS
    assert bench.rests()
    flow.steps.close()  # the user goes away with the last chunk in hand: the call is a success all the same
    assert len(bench.sink.records) == 1


def test_an_answer_in_one_piece_is_one_chunk(bench: Bench) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "Hi.", "tool_calls": calls}
    body = msgspec.json.encode({"model": "m1", "choices": [{"message": message, "finish_reason": "tool_calls"}]})
    flow = bench.flow()
    flow.opens()
    flow.reads(Head())
    flow.reads(body[:20])
    flow.reads(body[20:])
    (chunk,) = flow.delivers(b"")
    assert chunk == Chunk("Hi.", tool_calls=[ToolCallDelta(0, "c1", "look", "{}")], finish_reason="tool_calls")
    assert flow.ends().content == "Hi."
    assert bench.rests()


def test_text_of_an_event_that_nobody_closed_is_handed_out_too(bench: Bench) -> None:
    flow = bench.flow()
    flow.begin()
    flow.reads()
    flow.reads(event("lo", "stop")[:-1])
    assert flow.says(b"") == ["lo"]
    assert flow.ends().content == "Hello"


def test_usage_that_was_not_told_is_estimated_and_says_so(bench: Bench) -> None:
    flow = bench.flow(input_tokens=40)
    flow.begin()
    flow.reads()
    flow.delivers(event("lo there", "stop"))
    flow.reads()
    response = flow.ends(DONE)
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.estimated) == (40, 3, True)


def test_the_headers_of_an_answer_count_when_they_come(bench: Bench) -> None:
    first, second = bench.flow("one"), bench.flow("two")
    first.begin(Head(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="4s"))
    second.parks()
    bench.at(4)
    second.opens()

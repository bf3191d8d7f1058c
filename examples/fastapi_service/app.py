"""A back end that talks: answers, streams, costs, and what each user has asked.

    pip install 'llmcore[fastapi]' uvicorn
    uvicorn --app-dir examples/fastapi_service app:app

    user=5f0c9a52-0000-4000-8000-000000000001
    asked='{"messages": [{"role": "user", "content": "Is the bridge safe?"}]}'
    curl localhost:8000/chat -H "X-User-Id: $user" -H 'content-type: application/json' -d "$asked"
    curl -N localhost:8000/chat/stream -H "X-User-Id: $user" -H 'content-type: application/json' -d "$asked"
    curl localhost:8000/users/$user/requests -H "X-User-Id: $user"

Provider, key, limits, budgets and the database come from the environment or llmcore.toml, as in every program over
llmcore; without any the offline provider answers, and the calls are in llmcore.db. One runtime serves all requests, so
its limits hold for all of them together.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from llmcore import LLMError, LLMMessageDTO, LLMRequestDTO, LLMService
from llmcore.integrations.fastapi import event_stream, llm_error_handler, llm_lifespan, llm_services_provider

app = FastAPI(title="llmcore example", lifespan=llm_lifespan())
app.add_exception_handler(LLMError, llm_error_handler)


def current_user(x_user_id: Annotated[UUID, Header()]) -> UUID:
    """Who is asking. A real back end takes this from its session or token, never from what a client claims."""
    return x_user_id


User = Annotated[UUID, Depends(current_user)]
Service = Annotated[LLMService, Depends(llm_services_provider)]


class Conversation(BaseModel):
    messages: list[LLMMessageDTO] = Field(min_length=1, max_length=100)
    max_tokens: int = Field(default=500, ge=1, le=2000)


class Said(BaseModel):
    content: str
    request_id: UUID
    tokens_used: int | None
    cost_estimate: float | None


@app.post("/chat")
async def chat(asked: Conversation, user: User, llm: Service) -> Said:
    """An answer, when it is whole."""
    response, request_id = await llm.generate_response(
        asked.messages, user, max_tokens=asked.max_tokens, call_type="chat"
    )
    return Said(
        content=response.content,
        request_id=request_id,
        tokens_used=response.tokens_used,
        cost_estimate=response.cost_estimate,
    )


@app.post("/chat/stream")
async def chat_stream(asked: Conversation, user: User, llm: Service) -> StreamingResponse:
    """An answer while it is written. Whoever goes away ends the call, and pays for what had come."""
    return event_stream(
        llm.stream_response(asked.messages, user, max_tokens=asked.max_tokens, call_type="chat"),
    )


@app.post("/cost")
async def cost(asked: Conversation, llm: Service) -> dict[str, float]:
    """What an answer would cost, in US dollars; nothing is sent."""
    return {"cost_estimate": llm.estimate_cost(asked.messages)}


@app.get("/users/{user_id}/requests")
async def requests_of(
    user_id: UUID,
    user: User,
    llm: Service,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> list[LLMRequestDTO]:
    """What a user has asked, the newest first; each sees only what is his own."""
    if user_id != user:
        raise HTTPException(404)
    return await llm.aget_user_requests(user_id, limit, offset)


@app.get("/requests/{request_id}")
async def request_of(request_id: UUID, user: User, llm: Service) -> LLMRequestDTO:
    """One request of the user's own."""
    found = await llm.aget_request(request_id)
    if found is None or found.user_id != str(user):
        raise HTTPException(404)
    return found

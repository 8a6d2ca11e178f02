"""moto with a memory: what it answered with success is in the journal before the client hears of it.

moto generates ids (of roles, scaling policies, access keys) from random numbers. Each change gets a seed of its own,
which the journal keeps, so that a repeated call makes the ids that the client was told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import warnings
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from airflow_ll.extras import require
from airflow_ll.local import mutations
from airflow_ll.local.journal import Journal
from airflow_ll.local.mounted import mounted

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_ll.local.calls import Call
    from airflow_ll.local.store import Store

__all__ = ["Memory"]

_log = logging.getLogger(__name__)

_SEED = "/moto-api/seed"


class Memory:
    """moto's application, loaded by the first call that needs it and then told what it was told before."""

    def __init__(self, store: Store) -> None:
        self._journal = Journal(store)
        self._loading, self._turn = threading.Lock(), asyncio.Lock()
        self._threads: anyio.CapacityLimiter | None = None
        self._app: Any = None
        self._client: Any = None

    @property
    def loaded(self) -> bool:
        """Whether a call has needed moto."""
        return self._app is not None

    def app(self) -> ASGIApp:
        """Return moto's ASGI application, loading it the first time."""
        with self._loading:
            if self._app is None:
                app, self._client = _load()
                self._repeat()
                self._app = app
            loaded: ASGIApp = self._app
        return loaded

    def answering(self, call: Call, body: bytes) -> ASGIApp:
        """Return the application that answers a call, and keeps what it changes."""
        app = mounted(self.app(), call.service, body)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            for message in await self._in_turn(app, call, body, scope, receive):
                await send(message)

        return answer

    async def _in_turn(self, app: ASGIApp, call: Call, body: bytes, scope: Scope, receive: Receive) -> list[Message]:
        """Let moto answer one call at a time: the journal has them in its order, and no other call takes its seed.

        Nothing in here waits for another call or for the threads that those use, or a call of ours could not end.
        """
        messages: list[Message] = []

        async def note(message: Message) -> None:
            messages.append(message)

        if self._threads is None:
            self._threads = anyio.CapacityLimiter(1)
        seed = secrets.randbits(48)
        async with self._turn:
            mutation = await anyio.to_thread.run_sync(self._prepare, call, body, seed, limiter=self._threads)
            await app(scope, receive, note)
            if mutation is not None and 200 <= messages[0]["status"] < 300:
                await anyio.to_thread.run_sync(self._journal.add, mutation, seed, limiter=self._threads)
        return messages

    def _prepare(self, call: Call, body: bytes, seed: int) -> mutations.Mutation | None:
        """Return what a call changes, and let moto make its ids of the seed."""
        found = mutations.read(call, body)
        if found is None or (call.ours and found.operation == mutations.METRIC_DATA):
            return None  # our metric data come out of the store, at every start
        self._seed(found, seed)
        return found

    def _seed(self, call: mutations.Mutation, seed: int) -> None:
        if call.service != "monitoring":  # whose resources have no ids but their names
            self._client.post(_SEED, query_string={"a": seed})

    def _repeat(self) -> None:
        """Repeat the journal; what cannot be repeated is written down and left, for the rest to be there."""
        for entry in self._journal.entries():
            call = entry.mutation
            try:
                path, headers, body = mutations.wire_request(call)
                self._seed(call, entry.seed)
                answer = self._client.post(path, headers=headers, data=body)
                problem = "" if answer.status_code < 300 else f"{answer.status_code} {answer.get_data(as_text=True)}"
            except Exception as error:  # moto raises whatever it stumbles over
                problem = f"{type(error).__name__}: {error}"
            if problem:
                told = " ".join(problem.split())[:500]
                _log.warning("%s %s of an earlier run cannot be repeated: %s", call.service, call.operation, told)


def _load() -> tuple[Any, Any]:
    """Return moto as an ASGI application, and a client that calls it without a server."""
    os.environ.setdefault("MOTO_DISABLE_GLOBAL_CORS", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moto = require("moto.moto_server.werkzeug_app", extra="local", purpose="The embedded runtime")
        a2wsgi = require("a2wsgi", extra="local", purpose="The embedded runtime")
        werkzeug = require("werkzeug.test", extra="local", purpose="The embedded runtime")
    wsgi = moto.DomainDispatcherApplication(moto.create_backend_app)
    return a2wsgi.WSGIMiddleware(wsgi, workers=4), werkzeug.Client(wsgi, use_cookies=False)

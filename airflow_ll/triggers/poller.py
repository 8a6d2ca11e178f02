"""One poller for all triggers of an event loop that wait for resources of one kind at one endpoint.

A trigger subscribes to a name. The poller asks AWS, in a thread, and only hands over what it saw: each trigger logs
from its own ``run()``, as a line that the poller wrote would land in the log of whichever task had started it. The
poller belongs to no trigger: it runs in a context of its own until the last subscription has ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_ll.hooks.survey import Survey
from airflow_ll.hooks.waiting import Looks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource
    from airflow_ll.hooks.survey import Sighting

__all__ = ["Subscription", "hook_for", "in_thread", "subscribe"]

_THREADS = 8
_CONNECTION_SECONDS = 600.0  # a connection that was edited is read anew


class Subscription:
    """What one trigger is told of the resource it waits for."""

    def __init__(self, name: str, poll_interval: float) -> None:
        self.name = name
        self.looks = Looks(poll_interval)
        self.due = 0.0
        self._sightings: asyncio.Queue[Sighting] = asyncio.Queue()

    def tell(self, sighting: Sighting) -> None:
        """Hand over what was seen."""
        self._sightings.put_nowait(sighting)

    async def next(self) -> dict[str, Any] | None:
        """Return the next description or summary, None when the resource does not exist.

        :raises Exception: what AWS answered, when asking again would not help.
        """
        sighting = await self._sightings.get()
        if isinstance(sighting, Exception):
            raise sighting
        return sighting


class _Loop:
    """What an event loop has once: the threads, the hooks, the pollers."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="airflow-ll")
        self.pollers: dict[tuple[str, ...], _Poller] = {}
        self._hooks: dict[str, tuple[float, LinearLearnerHook]] = {}
        self._reading: dict[str, asyncio.Task[LinearLearnerHook]] = {}

    async def hook(self, settings: dict[str, Any]) -> LinearLearnerHook:
        """Return the hook of these settings; a thousand triggers that start at once read their connection once."""
        key = json.dumps(settings, sort_keys=True, default=str)
        read_at, hook = self._hooks.get(key, (0.0, None))
        if hook is not None and time.monotonic() - read_at < _CONNECTION_SECONDS:
            return hook
        if key not in self._reading:
            self._reading[key] = asyncio.create_task(self._read(key, settings), context=contextvars.Context())
        return await asyncio.shield(self._reading[key])  # whoever asked first may be cancelled

    async def _read(self, key: str, settings: dict[str, Any]) -> LinearLearnerHook:
        from airflow_ll.hooks.linear_learner import LinearLearnerHook

        try:
            hook = await LinearLearnerHook.aconnect(**settings)
        finally:
            del self._reading[key]
        self._hooks[key] = time.monotonic(), hook
        return hook


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def _here() -> _Loop:
    return _loops.setdefault(asyncio.get_running_loop(), _Loop())


async def hook_for(settings: dict[str, Any]) -> LinearLearnerHook:
    """Return the hook of these settings that the triggers of this event loop share."""
    return await _here().hook(settings)


async def in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking call on the loop's own threads; a hung call to AWS takes none of Airflow's."""
    return await asyncio.get_running_loop().run_in_executor(_here().threads, call, *arguments)


@asynccontextmanager
async def subscribe(
    resource: Resource, name: str, settings: dict[str, Any], poll_interval: float
) -> AsyncIterator[Subscription]:
    """Wait for a resource together with everybody who waits for its kind over the same connection.

    :param settings: the arguments of the hook.
    :param poll_interval: the longest pause between two looks, in seconds.
    """
    loop = _here()
    hook = await loop.hook(settings)
    who = json.dumps(settings, sort_keys=True, default=str)
    key = (who, str(hook.region_name), str(hook.endpoint_url), resource.kind)
    poller = loop.pollers.get(key)
    if poller is None or poller.task.done():
        poller = loop.pollers[key] = _Poller(loop, resource, settings, hook)
    subscription = Subscription(name, poll_interval)
    poller.add(subscription)
    try:
        yield subscription
    finally:
        poller.remove(subscription)
        if not poller.subscriptions and loop.pollers.get(key) is poller:
            del loop.pollers[key]
            poller.task.cancel()


class _Poller:
    """Looks for all its subscriptions together."""

    def __init__(self, loop: _Loop, resource: Resource, settings: dict[str, Any], hook: LinearLearnerHook) -> None:
        self._loop, self._resource, self._settings = loop, resource, settings
        self._survey = Survey(hook, resource)
        self.subscriptions: set[Subscription] = set()
        self._more = asyncio.Event()
        self._trouble = Looks()
        # An empty context: a trigger's context would send what is logged on the way to its task's log.
        self.task = asyncio.create_task(self._run(), context=contextvars.Context(), name=f"airflow-ll {resource.kind}")

    def add(self, subscription: Subscription) -> None:
        """Look for one more."""
        self.subscriptions.add(subscription)
        self._more.set()

    def remove(self, subscription: Subscription) -> None:
        """Do not look for it any more; its end may have removed it already."""
        self.subscriptions.discard(subscription)

    async def _run(self) -> None:
        while True:
            self._more.clear()
            await self._renew_connection()
            try:
                pause = await self._look()
                self._trouble.answered()
            except Exception as error:  # Looks.failed raises what it does not forgive
                try:
                    self._trouble.failed(error)
                except Exception:
                    self._fail(error)
                    return
                pause = self._trouble.pause()
            await asyncio.sleep(pause)
            if not self._survey.unfinished:
                await self._until_due()

    async def _renew_connection(self) -> None:
        try:
            self._survey.hook = await self._loop.hook(self._settings)
        except Exception as error:
            self._survey.hook.log.warning("The connection could not be read again, so it stays as it was: %s", error)

    async def _look(self) -> float:
        main, looked_for = asyncio.get_running_loop(), set(self.subscriptions)

        def tell(name: str, sighting: Sighting) -> None:
            if not main.is_closed():
                main.call_soon_threadsafe(self._hand_over, name, sighting)

        pause: float = await in_thread(self._survey.look, {one.name for one in looked_for}, tell)
        now = time.monotonic()
        for subscription in looked_for:
            subscription.due = now + subscription.looks.pause()
        return pause

    def _hand_over(self, name: str, sighting: Sighting) -> None:
        self._trouble.answered()
        running = isinstance(sighting, dict) and self._resource.is_running(sighting)
        for subscription in [one for one in self.subscriptions if one.name == name]:
            subscription.tell(sighting)
            if not running and sighting is not None:
                self.subscriptions.discard(subscription)  # it has all that there is to know

    def _fail(self, error: Exception) -> None:
        for subscription in self.subscriptions:
            subscription.tell(error)
        self.subscriptions.clear()

    async def _until_due(self) -> None:
        """Sleep until a subscription wants a look, or a new one has come."""
        while self.subscriptions:
            pause = min(one.due for one in self.subscriptions) - time.monotonic()
            if pause <= 0 or self._more.is_set():
                return
            pause *= random.uniform(0.9, 1.0)  # noqa: S311 - no secret; triggerers spread out
            try:
                await asyncio.wait_for(self._more.wait(), pause)
            except TimeoutError:
                return
        await self._more.wait()

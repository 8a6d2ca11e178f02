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
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_ll.hooks.log_survey import LogSurvey
from airflow_ll.hooks.survey import Survey
from airflow_ll.hooks.waiting import Looks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.log_survey import JobLog, Reading
    from airflow_ll.hooks.resources import Resource
    from airflow_ll.hooks.survey import Sighting

__all__ = ["Subscription", "hook_for", "in_thread", "subscribe", "subscribe_to_log"]

_THREADS = 8
_CONNECTION_SECONDS = 600.0  # a connection that was edited is read anew


_Key = TypeVar("_Key")
_Told = TypeVar("_Told")


class Subscription(Generic[_Key, _Told]):
    """What one trigger is told of what it waits for."""

    def __init__(self, key: _Key, poll_interval: float) -> None:
        self.key = key
        self.looks = Looks(poll_interval)
        self.due = 0.0
        self.wake: Callable[[], None] = lambda: None
        self._sightings: asyncio.Queue[_Told | Exception] = asyncio.Queue()

    def hurry(self) -> None:
        """Ask for a look now."""
        self.due = 0.0
        self.wake()

    def tell(self, sighting: _Told | Exception) -> None:
        """Hand over what was seen."""
        self._sightings.put_nowait(sighting)

    async def next(self) -> _Told:
        """Return what is seen next.

        :raises Exception: what AWS answered, when asking again would not help.
        """
        sighting = await self._sightings.get()
        if isinstance(sighting, Exception):
            raise sighting
        return sighting


class _Survey(Protocol):
    """What knows how to look for many things at once; each look blocks."""

    hook: LinearLearnerHook

    @property
    def unfinished(self) -> bool: ...

    def look(self, keys: Any, tell: Callable[[Any, Any], None], /) -> float: ...


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


def subscribe(
    resource: Resource, name: str, settings: dict[str, Any], poll_interval: float
) -> AbstractAsyncContextManager[Subscription[str, dict[str, Any] | None]]:
    """Wait for a resource together with everybody who waits for its kind over the same connection.

    The subscription is told descriptions, summaries of what still runs, and None when the resource does not exist.

    :param settings: the arguments of the hook.
    :param poll_interval: the longest pause between two looks, in seconds.
    """

    def is_end(sighting: Sighting) -> bool:
        return not (sighting is None or (isinstance(sighting, dict) and resource.is_running(sighting)))

    subscription: Subscription[str, dict[str, Any] | None] = Subscription(name, poll_interval)
    return _subscribed(subscription, settings, resource.kind, lambda hook: Survey(hook, resource), is_end)


def subscribe_to_log(
    log: JobLog, settings: dict[str, Any], poll_interval: float
) -> AbstractAsyncContextManager[Subscription[JobLog, Reading]]:
    """Follow a job's log together with everybody who follows one over the same connection."""
    subscription: Subscription[JobLog, Reading] = Subscription(log, poll_interval)
    return _subscribed(subscription, settings, "log", LogSurvey, lambda _: False)


@asynccontextmanager
async def _subscribed(
    subscription: Subscription[_Key, _Told],
    settings: dict[str, Any],
    kind: str,
    survey: Callable[[LinearLearnerHook], _Survey],
    is_end: Callable[[Any], bool],
) -> AsyncIterator[Subscription[_Key, _Told]]:
    loop = _here()
    hook = await loop.hook(settings)
    who = json.dumps(settings, sort_keys=True, default=str)
    key = (who, str(hook.region_name), str(hook.endpoint_url), kind)
    poller = loop.pollers.get(key)
    if poller is None or poller.task.done():
        poller = loop.pollers[key] = _Poller(loop, settings, kind, survey(hook), is_end)
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

    def __init__(
        self, loop: _Loop, settings: dict[str, Any], kind: str, survey: _Survey, is_end: Callable[[Any], bool]
    ) -> None:
        self._loop, self._settings, self._survey, self._is_end = loop, settings, survey, is_end
        self.subscriptions: set[Subscription[Any, Any]] = set()
        self._more = asyncio.Event()
        self._trouble = Looks()
        # An empty context: a trigger's context would send what is logged on the way to its task's log.
        self.task = asyncio.create_task(self._run(), context=contextvars.Context(), name=f"airflow-ll {kind}")

    def add(self, subscription: Subscription[Any, Any]) -> None:
        """Look for one more."""
        self.subscriptions.add(subscription)
        subscription.wake = self._more.set
        self._more.set()

    def remove(self, subscription: Subscription[Any, Any]) -> None:
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

        def tell(key: Any, sighting: Any) -> None:
            if not main.is_closed():
                main.call_soon_threadsafe(self._hand_over, key, sighting)

        pause: float = await in_thread(self._survey.look, {one.key for one in looked_for}, tell)
        now = time.monotonic()
        for subscription in looked_for:
            subscription.due = now + subscription.looks.pause()
        return pause

    def _hand_over(self, key: Any, sighting: Any) -> None:
        self._trouble.answered()
        for subscription in [one for one in self.subscriptions if one.key == key]:
            subscription.tell(sighting)
            if self._is_end(sighting):
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

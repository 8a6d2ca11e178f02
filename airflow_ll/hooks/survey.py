"""Seeing how many resources of one kind are with few calls: List for what has changed, Describe where it matters."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_ll.hooks.failures import is_denied, is_transient

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = ["Sighting", "Survey", "answered_at"]

Sighting: TypeAlias = "dict[str, Any] | Exception | None"
"""What was seen of a resource: its description, or the summary of one that still runs; the final error of its
Describe; None when there is none of this name."""

_OVERLAP = timedelta(seconds=60)  # List may show a change later than it happened
_RELIST_SECONDS = 600.0
_HORIZON = timedelta(hours=24)
_FEW = 10
_DESCRIBES = 50
_LIST_PACE, _DESCRIBE_PACE = 1.5, 0.1


class Survey:
    """Looks at resources of one kind; each look blocks, so an event loop makes it in a thread.

    A single resource is described. Several are listed by ``LastModifiedTimeAfter`` = the look before, minus an overlap;
    what is new to the survey or has ended is described. Every ten minutes all that was created within a day is listed
    again, and what that does not show is described. Where List is denied, everything is described.
    """

    def __init__(self, hook: LinearLearnerHook, resource: Resource, *, relist_seconds: float = _RELIST_SECONDS) -> None:
        self.hook, self._resource, self._relist_seconds = hook, resource, relist_seconds
        self._may_list = bool(resource.running)
        self._known: set[str] = set()
        self._doubtful: dict[str, None] = {}  # to be described, in this order
        self._since: datetime | None = None
        self._relist_at = 0.0
        self._lists = self._describes = 0

    def look(self, names: Collection[str], tell: Callable[[str, Sighting], None]) -> float:
        """Look once and tell what is new; return the seconds that must pass before the next look.

        The pause keeps List at 40 calls a minute and Describe at 10 a second, however many wait.

        :param names: what is waited for.
        :param tell: called with a name and what was seen.
        :raises Exception: transient failures of AWS; what was not looked at then is looked at next time.
        """
        begun, waiting = time.monotonic(), set(names)
        self._lists = self._describes = 0
        self._known &= waiting
        self._doubtful = {name: None for name in self._doubtful if name in waiting}
        new = waiting - self._known - self._doubtful.keys()
        self._doubtful |= dict.fromkeys(new)
        if self._may_list and len(waiting) > 1:
            self._list(waiting, tell, everything=len(new) > _FEW)
        elif not self._doubtful:
            self._doubtful = dict.fromkeys(waiting)
        for name in list(islice(self._doubtful, _DESCRIBES)):
            self._describe(name, tell)
        pace = max(self._lists * _LIST_PACE, self._describes * _DESCRIBE_PACE)
        return max(0.0, pace - (time.monotonic() - begun))

    @property
    def unfinished(self) -> bool:
        """Whether the last look had more to describe than one look may."""
        return bool(self._doubtful)

    def _list(self, waiting: set[str], tell: Callable[[str, Sighting], None], *, everything: bool) -> None:
        now = time.monotonic()
        everything = everything or self._since is None or now >= self._relist_at
        try:
            seen = self._summaries(waiting, everything=everything)
        except Exception as error:
            if not is_denied(error):
                raise
            self._may_list = False
            self.hook.log.warning("%ss are described one by one, as List is denied: %s", self._resource.title, error)
            self._doubtful |= dict.fromkeys(waiting)
            return
        if everything:
            self._relist_at = now + self._relist_seconds
            self._doubtful |= dict.fromkeys(waiting - seen.keys())
        for name, summary in seen.items():
            if self._resource.is_running(summary):
                self._doubtful.pop(name, None)
                self._known.add(name)
                tell(name, summary)
            else:
                self._doubtful[name] = None

    def _summaries(self, waiting: set[str], *, everything: bool) -> dict[str, dict[str, Any]]:
        """Return the summaries of what is waited for: of all that is young, or of what has changed."""
        if everything or self._since is None:
            filters = {"CreationTimeAfter": datetime.now(UTC) - _HORIZON}
        else:
            filters = {"LastModifiedTimeAfter": self._since - _OVERLAP}
        seen: dict[str, dict[str, Any]] = {}
        asked: datetime | None = None
        for page in self.hook.pages(self._resource, **filters):
            self._lists += 1
            asked = asked or answered_at(page)
            names = ((one[self._resource.name_member], one) for one in page[self._resource.summaries])
            seen |= {name: summary for name, summary in names if name in waiting}
        self._since = asked
        return seen

    def _describe(self, name: str, tell: Callable[[str, Sighting], None]) -> None:
        self._describes += 1
        try:
            sighting: Sighting = self.hook.describe(self._resource, name)
        except Exception as error:
            if is_transient(error):
                raise
            sighting = error
        del self._doubtful[name]
        self._known.add(name)
        tell(name, sighting)


def answered_at(page: dict[str, Any]) -> datetime:
    """Return the service's own time, so that a wrong clock here hides no change."""
    header = page["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(header) if header else datetime.now(UTC)

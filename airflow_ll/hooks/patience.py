"""How long a call is tried again that AWS refuses for the moment."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.failures import TRANSIENT_CODES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PATIENT_ATTEMPTS", "wait_out"]

PATIENT_ATTEMPTS = 5
"""The attempts of the client itself; an endpoint where nothing answers gets no more."""

# With a third of all calls refused, five attempts fail once in 200 calls, twelve once in 500,000.
_MOST_ATTEMPTS = 12
_LONGEST_PAUSE = 20.0
_HTTP_SERVER_ERROR = 500


def wait_out(response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: Any) -> float | None:
    """Return the seconds until another attempt, None when there is none; a handler of botocore's ``needs-retry``.

    It takes over where the client gives up, when the service did answer: throttling and server errors.

    :param response: None when there was no answer.
    :param attempts: that have been made.
    """
    if response is None or not PATIENT_ATTEMPTS <= attempts < _MOST_ATTEMPTS:
        return None
    http, parsed = response
    code = parsed.get("Error", {}).get("Code")
    if code not in TRANSIENT_CODES and getattr(http, "status_code", 0) < _HTTP_SERVER_ERROR:
        return None
    return min(_LONGEST_PAUSE, 2.0 ** (attempts - PATIENT_ATTEMPTS)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

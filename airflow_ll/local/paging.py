"""Pages of sorted lists: a token says after which item the next page begins, so that nothing is skipped or repeated."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["decode_token", "encode_token", "page"]

_DEFAULT_LIMIT = 10

Position = tuple[str | float, str]


def encode_token(position: Position) -> str:
    """Return the NextToken of a page that ends at ``position``, the sort key and the name of its last item."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def decode_token(token: str, key: type[str | float]) -> Position:
    """Return the position in a NextToken of a list that is sorted by keys of the type ``key``.

    :raises ValidationError: it is none of ours, or of a list in another order.
    """
    try:
        position = json.loads(base64.urlsafe_b64decode(token.encode()))
        json.dumps(position, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
        match position:
            case [str() | float() | int() as value, str() as name] if isinstance(value, str) == (key is str):
                return value if isinstance(value, str) else float(value), name
    except (ValueError, OverflowError, RecursionError):
        pass
    raise ValidationError("The specified NextToken is invalid.")


def page(
    items: Iterable[tuple[str | float, str, Any]], request: dict[str, Any], *, descending: bool
) -> tuple[list[Any], str | None]:
    """Return the items of a request's page, and the token of the next one; an item comes with its key and name."""
    found = sorted(items, key=lambda item: item[:2], reverse=descending)
    if "NextToken" in request:
        key = str if not found or isinstance(found[0][0], str) else float
        after = decode_token(request["NextToken"], key)
        found = [item for item in found if (item[:2] < after if descending else item[:2] > after)]
    limit = request.get("MaxResults", _DEFAULT_LIMIT)
    shown = found[:limit]
    return [item[2] for item in shown], encode_token(shown[-1][:2]) if len(found) > len(shown) > 0 else None

"""The access keys of a runtime that asks for signatures; their secrets are never written anywhere."""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_ll.exceptions import LinearLearnerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SECRET_VARIABLE", "AccessKey", "AccessKeys", "read_keys"]

SECRET_VARIABLE = "AIRFLOW_LL_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable

_LINE = re.compile(r"([A-Za-z0-9_-]{1,128}):(\S{8,256})")
_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class AccessKey:
    """An access key; its secret stays out of every text that is made of it."""

    key_id: str
    secret: str = field(repr=False)


class AccessKeys:
    """The keys that callers sign with, and one that the runtime made for its own calls."""

    def __init__(self, keys: list[AccessKey]) -> None:
        self.first = keys[0]
        self.own = AccessKey(f"airflow-ll-runtime-{secrets.token_hex(8)}", secrets.token_urlsafe(32))
        self._secrets = {key.key_id: key.secret for key in (*keys, self.own)}

    def secret(self, key_id: str) -> str | None:
        """Return the secret of a key, ``None`` when there is no such key."""
        return self._secrets.get(key_id)


def read_keys(access_key: str | None, file: Path | None) -> AccessKeys | None:
    """Return the keys of the command line, ``None`` when it names none.

    The secret of ``access_key`` is in the environment (on the command line every user of the machine could read it),
    and is taken out of it, so that no child inherits it.

    :raises LinearLearnerError: a key has no secret, or the file is no list of keys or can be read by others.
    """
    keys = [] if file is None else _read_file(file)
    secret = os.environ.pop(SECRET_VARIABLE, "")
    if access_key is not None:
        if not _LINE.fullmatch(f"{access_key}:{secret}"):
            raise LinearLearnerError(
                f"The access key {access_key!r} cannot be used: the key is letters, digits, - and _, "
                f"and its secret, 8 to 256 characters without spaces, is in the environment variable {SECRET_VARIABLE}."
            )
        keys.insert(0, AccessKey(access_key, secret))
    return AccessKeys(keys) if keys else None


def _read_file(path: Path) -> list[AccessKey]:
    with path.open(encoding="utf-8", errors="replace") as file:
        if os.fstat(file.fileno()).st_mode & _READABLE_BY_OTHERS:
            raise LinearLearnerError(f"The keys in {path} can be read or written by others: chmod 600 {path}.")
        lines = file.read().splitlines()
    keys = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise LinearLearnerError(
                f"Line {number} of {path} is no access key: write ID:SECRET, "
                "an ID of letters, digits, - and _, a secret of 8 to 256 characters without spaces."
            )
        keys.append(AccessKey(match[1], match[2]))
    if not keys:
        raise LinearLearnerError(f"{path} has no access key: write one ID:SECRET a line.")
    return keys

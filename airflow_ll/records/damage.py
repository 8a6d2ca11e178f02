"""Errors of the libraries that read files, told as ours: a damaged file is a fault of the data, not of the program."""

from __future__ import annotations

import csv
import sys
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError, LinearLearnerError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAMAGE: tuple[type[Exception], ...] = (
    EOFError,
    KeyError,  # a member of an archive
    MemoryError,  # a length that the file does not have
    OverflowError,
    RuntimeError,  # an archive that is encrypted, or compressed in another way
    SyntaxError,  # NumPy's header is a Python literal
    ValueError,
    csv.Error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def told_as_data_errors(what: str) -> Iterator[None]:
    """Raise a DataError where reading ``what`` fails because of its bytes; faults of disk and network stay theirs."""
    try:
        yield
    except LinearLearnerError:
        raise
    except OSError as error:
        if type(error) is not OSError or error.errno is not None:  # botocore's timeouts are OSErrors without a number
            raise
        raise _damaged(what, error) from error  # Arrow's word for bytes that it cannot decode
    except _errors_of_damage() as error:
        raise _damaged(what, error) from error


def described(kind: str, stream: Any) -> str:
    """Return what a stream is called in a message: its file's name, where it has one."""
    name = getattr(stream, "name", None)
    return f"{kind} file {name}" if isinstance(name, str) else f"{kind} source"


def _errors_of_damage() -> tuple[type[Exception], ...]:
    arrow = sys.modules.get("pyarrow")
    return _DAMAGE if arrow is None else (*_DAMAGE, arrow.ArrowException)


def _damaged(what: str, error: Exception) -> DataError:
    return DataError(f"The {what} is damaged, or has another format than it should: {error}")

"""Streams from elsewhere as files on local disk: formats that jump about would ask S3 for the same bytes many times."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_COPY_BYTES = 1 << 20


def is_local(stream: Any) -> bool:
    """Tell whether jumping about in ``stream`` costs nothing: it is a file or in memory."""
    if isinstance(stream, io.BytesIO):
        return True
    try:
        return not isinstance(stream, zipfile.ZipExtFile) and stream.fileno() >= 0 and bool(stream.seekable())
    except (AttributeError, OSError):  # no file behind it
        return False


@contextmanager
def local(stream: Any) -> Iterator[Any]:
    """Give ``stream`` itself when it is local, else the rest of it in a file."""
    if is_local(stream):
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy, _COPY_BYTES)
        copy.seek(0)
        yield copy


@contextmanager
def seekable(stream: Any) -> Iterator[Any]:
    """Give ``stream`` itself when it can seek at all, else the rest of it in a file."""
    can_seek = getattr(stream, "seekable", None)
    if can_seek is not None and can_seek():
        yield stream
        return
    with local(stream) as copy:
        yield copy


@contextmanager
def local_ranges(stream: Any, ranges: Iterable[tuple[int, int]]) -> Iterator[Any]:
    """Give a file that has the bytes of ``ranges`` (start, end) of ``stream`` where ``stream`` has them."""
    with tempfile.TemporaryFile() as copy:
        for start, end in sorted(ranges):
            stream.seek(start)
            copy.seek(start)  # what is skipped takes no room
            while start < end and (part := stream.read(min(_COPY_BYTES, end - start))):
                copy.write(part)
                start += len(part)
        copy.seek(0)
        yield copy

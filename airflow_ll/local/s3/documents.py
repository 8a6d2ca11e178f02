"""S3's XML, read and written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree

from airflow_ll.local.s3.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["element", "iso_time", "parse", "render", "url_encoded"]

_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f]')
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def element(name: str, *content: object) -> str:
    """Return one element; elements inside it come in a list, as this function returned them, texts as they are."""
    inner = "".join("".join(part) if isinstance(part, (list, tuple)) else _escaped(str(part)) for part in content)
    return f"<{name}>{inner}</{name}>"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)


def render(name: str, elements: Iterable[str], namespace: str = _NAMESPACE) -> bytes:
    """Return a whole document."""
    xmlns = f' xmlns="{namespace}"' if namespace else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}{xmlns}>{"".join(elements)}</{name}>'.encode()


def parse(body: bytes, root: str) -> ElementTree.Element:
    """Return the root element, all names without their namespace; raise MalformedXML."""
    if b"<!" in body:  # no document type, hence no entities to expand
        raise S3Error("MalformedXML")
    try:
        tree = ElementTree.fromstring(body)  # noqa: S314 - entities are refused above
    except ElementTree.ParseError:
        raise S3Error("MalformedXML") from None
    for node in tree.iter():
        node.tag = node.tag.rpartition("}")[2]
    if tree.tag != root:
        raise S3Error("MalformedXML")
    return tree


def iso_time(seconds: int) -> str:
    """Return a time as S3's documents have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def url_encoded(text: str, encoding: str | None) -> str:
    """Return a key as ``encoding-type=url`` asks for it."""
    return quote(text, safe="/-_.~*") if encoding == "url" else text

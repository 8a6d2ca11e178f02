"""The parts that need no server: checksums, ranges of contents, list boundaries, documents."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.local.s3.blobs import Extent, cut
from airflow_ll.local.s3.checksums import ALGORITHMS, Checksum, combined, hasher
from airflow_ll.local.s3.documents import element, parse, render
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.listing import successor

CHECK = {  # of b"123456789", from the catalogues of CRCs and the standards of the hashes
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "SHA256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}


def digest(algorithm: str, *pieces: bytes) -> bytes:
    made = hasher(algorithm)
    for piece in pieces:
        made.update(piece)
    return made.digest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_have_their_published_check_values(algorithm: str) -> None:
    assert digest(algorithm, b"1234", b"", b"56789").hex() == CHECK[algorithm]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 4096, (1 << 20) - 1, (1 << 20) + 129, 3_000_001])
def test_lanes_agree_with_one_byte_at_a_time(size: int) -> None:
    data = random.Random(size).randbytes(size)
    register = 0xFFFFFFFF
    table = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    for byte in data[-100_000:] if size > 100_000 else data:
        register = register >> 8 ^ table[(register ^ byte) & 0xFF]
    tail = data[-100_000:] if size > 100_000 else data
    assert digest("CRC32C", tail) == (register ^ 0xFFFFFFFF).to_bytes(4, "big")
    assert digest("CRC32C", data[:1000], data[1000:]) == digest("CRC32C", data)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_crcs_of_parts_combine_to_that_of_the_whole(parts: list[bytes]) -> None:
    made = combined("CRC32", [(zlib.crc32(part).to_bytes(4, "big"), len(part)) for part in parts])
    assert made == Checksum.of_digest("CRC32", zlib.crc32(b"".join(parts)).to_bytes(4, "big"))


def test_hashes_do_not_combine_and_unknown_ones_are_refused() -> None:
    with pytest.raises(S3Error, match="FULL_OBJECT"):
        combined("SHA1", [])
    with pytest.raises(S3Error, match="MD2"):
        hasher("MD2")


@given(st.lists(st.integers(1, 9), max_size=5), st.integers(0, 50), st.integers(0, 50))
def test_a_cut_of_extents_is_a_slice_of_the_content(sizes: list[int], start: int, stop: int) -> None:
    blobs = [bytes(range(i * 20, i * 20 + 15)) for i in range(len(sizes))]
    extents = [Extent(str(i), i, size) for i, size in enumerate(sizes)]

    def content(chosen: list[Extent]) -> bytes:
        return b"".join(blobs[int(e.blob)][e.start : e.start + e.size] for e in chosen)

    assert content(cut(extents, start, stop)) == content(extents)[start:stop]


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_a_successor_is_the_first_key_behind_a_prefix(prefix: bytes, key: bytes) -> None:
    bound = successor(prefix)
    before = bound is None or key < bound
    assert (key >= prefix and before) == key.startswith(prefix)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff", min_codepoint=32)))
def test_documents_carry_any_text(text: str) -> None:
    tree = parse(render("Root", [element("Item", [element("Key", text)])]), "Root")
    assert (tree.findtext("Item/Key") or "") == text


@pytest.mark.parametrize("body", [b"", b"<Root>", b"<Other/>", b'<!DOCTYPE Root [<!ENTITY a "b">]><Root>&a;</Root>'])
def test_documents_that_are_not_well_formed_are_refused(body: bytes) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse(body, "Root")

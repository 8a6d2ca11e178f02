"""Copy many runs of bytes of different lengths at once: the rows of ragged data, without a loop over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Run:
    """Of each row the ``sizes`` (rows,) bytes of ``content`` from ``starts`` (rows,) on."""

    content: NDArray[np.uint8]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


def copy_runs(
    target: NDArray[np.uint8],
    target_starts: NDArray[np.int64],
    source: NDArray[np.uint8],
    source_starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Copy ``sizes[i]`` bytes from ``source_starts[i]`` of ``source`` to ``target_starts[i]`` of ``target``, for all i.

    A run of 2^k to 2^(k+1) - 1 bytes is its first 2^k and its last 2^k bytes, which may overlap: numpy moves those of
    all such runs as items of one size.
    """
    longest = int(sizes.max(initial=0))
    if not longest:
        return
    shortest = max(1, int(sizes.min()))
    classes = None if sizes.all() and shortest.bit_length() == longest.bit_length() else np.frexp(sizes)[1]
    for bits in range(shortest.bit_length(), longest.bit_length() + 1):
        chosen = slice(None) if classes is None else np.flatnonzero(classes == bits)
        _copy_alike(target, target_starts[chosen], source, source_starts[chosen], sizes[chosen])


def _copy_alike(
    target: NDArray[np.uint8],
    target_starts: NDArray[np.int64],
    source: NDArray[np.uint8],
    source_starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Copy runs whose ``sizes`` have the same number of bits."""
    if not len(sizes):
        return
    width = 1 << int(sizes[0]).bit_length() - 1
    item = np.dtype((np.void, width))
    to, from_ = items_at_every_byte(target, item), items_at_every_byte(source, item)
    to[target_starts] = from_[source_starts]
    if width > 1:
        rest = sizes - width
        to[target_starts + rest] = from_[source_starts + rest]


def items_at_every_byte(data: NDArray[np.uint8], item: np.dtype[Any]) -> NDArray[Any]:
    """Return a view of the contiguous ``data`` with an item of the dtype ``item`` beginning at every byte."""
    return np.ndarray((max(0, len(data) - item.itemsize + 1),), item, data.data, strides=(1,))

"""Copy many runs of bytes of different lengths at once: the rows of ragged data, without a loop over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    classes = np.frexp(sizes)[1]  # the k of above, plus one
    for k in range(int(classes.max(initial=0))):
        chosen = np.flatnonzero(classes == k + 1)
        if not len(chosen):
            continue
        item = np.dtype((np.void, 1 << k))
        to, from_ = items_at_every_byte(target, item), items_at_every_byte(source, item)
        first, second = target_starts[chosen], source_starts[chosen]
        to[first] = from_[second]
        if k:
            rest = sizes[chosen] - (1 << k)
            to[first + rest] = from_[second + rest]


def items_at_every_byte(data: NDArray[np.uint8], item: np.dtype[Any]) -> NDArray[Any]:
    """Return a view of the contiguous ``data`` with an item of the dtype ``item`` beginning at every byte."""
    return np.ndarray((max(0, len(data) - item.itemsize + 1),), item, data.data, strides=(1,))

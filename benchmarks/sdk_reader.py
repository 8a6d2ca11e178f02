"""Read shards with the SageMaker SDK's own ``read_records``; runs in the environment .venvs/sdk.

``python sdk_reader.py SHARD...`` prints one line of JSON a shard: a list of records, each with its ``features`` and
``label`` as ``{"kind", "values", "keys", "shape"}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sagemaker.amazon import common


def _tensor(entries: Any) -> dict[str, Any] | None:
    if not entries:
        return None
    value = entries["values"]
    kind = value.WhichOneof("value")
    tensor = getattr(value, kind)
    return {"kind": kind, "values": list(tensor.values), "keys": list(tensor.keys), "shape": list(tensor.shape)}


if __name__ == "__main__":
    for shard in sys.argv[1:]:
        with Path(shard).open("rb") as stream:
            records = common.read_records(stream)
        print(json.dumps([{"features": _tensor(one.features), "label": _tensor(one.label)} for one in records]))

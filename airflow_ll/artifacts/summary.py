"""What a model says, for a person or as JSON: its coefficients by the features' names, threshold, settings, scores."""

from __future__ import annotations

import json
import tarfile
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from airflow_ll.artifacts.model import LinearModel

__all__ = ["feature_names", "read_scores", "render", "summarise"]

_WIDTH = 12  # of a column of numbers
_METRICS_NAME = "metrics.jsonl"
_GZIP_START = b"\x1f\x8b"


def feature_names(document: object, feature_dim: int) -> list[str]:
    """Return the names of a model's features from a feature schema.

    Parameters
    ----------
    document : object
        JSON: a list of names, or an object that has one under ``features`` or ``columns``, as the ``schema.json`` of a
        record set. Instead of a name there may be an object with ``name`` and, for a categorical column, a list of
        ``categories`` (or ``vocabulary``), which stands for one feature a category, null as well.
    feature_dim : int
        How many the model has.

    Raises
    ------
    ArtifactError
        It is not a schema, one of another number of features, or one that has a name twice.
    """
    if isinstance(document, dict):
        document = document.get("features", document.get("columns"))
    if not isinstance(document, list):
        raise ArtifactError("The feature schema must be a JSON list of names, or an object with one under 'features'.")
    names = [name for entry in document for name in _expand(entry)]
    if len(names) != feature_dim:
        raise ArtifactError(
            f"The feature schema names {len(names)} features, but the model has {feature_dim}. "
            "Please give the schema of the data that the model was trained on."
        )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise ArtifactError(f"The feature schema names {twice!r} twice. Please give each feature a name of its own.")
    return names


def _expand(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
        return
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ArtifactError(f"The feature schema has an entry that is neither a name nor has one: {entry!r}.")
    name, categories = entry["name"], entry.get("categories", entry.get("vocabulary"))
    if categories is None:
        yield name
    elif not isinstance(categories, list):
        raise ArtifactError(f"The categories of {name!r} in the feature schema must be a list, not {categories!r}.")
    else:  # named as the record set's own features
        yield from (f"{name} is null" if one is None else f"{name}={one}" for one in categories)


def read_scores(path: Path) -> dict[str, float]:
    """Return the final scores of a training job, by ``split:name``.

    Parameters
    ----------
    path : Path
        Its ``metrics.jsonl``, or the ``output.tar.gz`` that has it.

    Raises
    ------
    ArtifactError
        It is another file.
    """
    try:
        entries = [json.loads(line) for line in _read_metrics(path).splitlines()]
        return {f"{one['split']}:{one['name']}": one["value"] for one in entries if one["kind"] == "score"}
    except (ValueError, KeyError, TypeError, tarfile.TarError, EOFError, zlib.error) as error:
        # Not the error's repr: that of a UnicodeDecodeError has the whole file in it.
        why = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"The metrics are not a metrics.jsonl of a training job ({why}).") from error


def _read_metrics(path: Path) -> bytes:
    with path.open("rb") as stream:
        if stream.read(len(_GZIP_START)) != _GZIP_START:
            return path.read_bytes()
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            if entry.isreg() and entry.name.endswith(_METRICS_NAME):
                content = archive.extractfile(entry)
                return content.read() if content else b""
    raise KeyError(_METRICS_NAME)


def summarise(
    model: LinearModel, names: Sequence[str] | None = None, scores: dict[str, float] | None = None
) -> dict[str, Any]:
    """Return a model's summary as JSON has it.

    Parameters
    ----------
    model : LinearModel
        The model.
    names : Sequence[str], optional
        Of its features; ``feature_0`` and so on when there are none.
    scores : dict[str, float], optional
        As `read_scores` returns them.

    Returns
    -------
    dict
        ``coefficients`` has one number a feature, for multiclass a list of one a class; likewise ``bias``. They are
        of raw features and, for a regressor, of the raw label.
    """
    multiclass = model.predictor_type == "multiclass_classifier"
    weights, bias = model.weights.tolist(), model.bias.tolist()
    return {
        "predictor_type": model.predictor_type,
        "loss": model.loss,
        "feature_dim": model.feature_dim,
        "classes": len(bias) if multiclass else None,
        "threshold": model.threshold if model.predictor_type == "binary_classifier" else None,
        "settings": {
            name: value
            for name, value in model.metrics_params.items()
            if value is not None and name not in {"threshold", "class_weights"}
        },
        "scores": scores or {},
        "bias": bias if multiclass else bias[0],
        "coefficients": {
            name: row if multiclass else row[0]
            for name, row in zip(names or _numbered(model.feature_dim), weights, strict=True)
        },
    }


def _numbered(count: int) -> list[str]:
    return [f"feature_{index}" for index in range(count)]


def render(summary: dict[str, Any], top: int) -> str:
    """Write a summary for a person, with the ``top`` coefficients of the largest magnitude (0: all of them)."""
    facts = {
        "predictor_type": summary["predictor_type"],
        "loss": summary["loss"],
        "features": summary["feature_dim"],
        "classes": summary["classes"],
        "threshold": summary["threshold"],
        **summary["settings"],
        **summary["scores"],
    }
    shown = {name: value for name, value in facts.items() if value is not None}
    pad = max(map(len, shown))
    lines = [f"{name:<{pad}}  {_text(value)}" for name, value in shown.items()]
    return "\n".join([*lines, "", *_table(summary, top)]) + "\n"


def _table(summary: dict[str, Any], top: int) -> Iterator[str]:
    rows = {name: _numbers(value) for name, value in summary["coefficients"].items()}
    ordered = sorted(rows.items(), key=lambda row: -max(map(abs, row[1])))
    chosen = ordered[:top] if top else ordered
    pad = max(len("coefficient"), *(len(name) for name, _ in chosen), 0)
    heads = [f"class {index}" for index in range(len(_numbers(summary["bias"])))] if summary["classes"] else ["value"]
    yield f"{'coefficient':<{pad}}" + "".join(f"{head:>{_WIDTH}}" for head in heads)
    for name, values in [("(bias)", _numbers(summary["bias"])), *chosen]:
        yield f"{name:<{pad}}" + "".join(f"{_text(value):>{_WIDTH}}" for value in values)
    if len(chosen) < len(ordered):
        yield f"... and {len(ordered) - len(chosen)} smaller ones (--top 0 shows all)"


def _numbers(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

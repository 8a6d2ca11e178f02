"""Who owns a resource, what it is called, and what was asked for.

SageMaker's names are unique in an account and region, so a name that depends on nothing but the task is an idempotency
key: the second attempt of a task asks for the same name and finds what the first one made. The owner and the
fingerprint of the request travel with the resource as tags.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.exceptions import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "KINDS",
    "TAG_PREFIX",
    "TaskIdentity",
    "fingerprint",
    "fingerprint_from_tags",
    "is_tag_value",
    "resource_name",
    "user_tags",
]

TAG_PREFIX: Final = "airflow-ll:"

#: The kinds of resources and the longest name that SageMaker allows for each.
KINDS: Final[Mapping[str, int]] = {
    "training": 63,
    "model": 63,
    "endpoint-config": 63,
    "endpoint": 63,
    "transform": 63,
    "compilation": 63,
    "tuning": 32,
    "record-set": 63,
}

_RUN_HASH_LENGTH: Final = 8
_TASK_HASH_LENGTH: Final = 10
_SHORTEST_READABLE: Final = 3
_TAG_VALUE_LIMIT: Final = 256

# The member that names the resource itself. The order matters: an endpoint's request also names its config, and a
# transform job's names its model.
_OWN_NAMES: Final = (
    "TrainingJobName",
    "TransformJobName",
    "CompilationJobName",
    "HyperParameterTuningJobName",
    "EndpointName",
    "EndpointConfigName",
    "ModelName",
)


@dataclass(frozen=True)
class TaskIdentity:
    """The task instance that a resource belongs to; its retries share one identity.

    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task, task groups included.
    :param map_index: index of a mapped task instance; -1 when the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def run_hash(self) -> str:
        """Eight hexadecimal digits that all names of this DAG run contain."""
        tagged = self.as_tagged()  # so that an owner read from tags has the same
        return _digest(tagged.dag_id, tagged.run_id)[:_RUN_HASH_LENGTH]

    def tags(self, fingerprint: str) -> list[dict[str, str]]:
        """Return the tags that everything created by this task carries."""
        tagged = self.as_tagged()
        values = {
            "dag-id": tagged.dag_id,
            "run-id": tagged.run_id,
            "task-id": tagged.task_id,
            "map-index": str(tagged.map_index),
            "fingerprint": fingerprint,
        }
        return [{"Key": TAG_PREFIX + key, "Value": value} for key, value in values.items()]

    @classmethod
    def from_tags(cls, tags: Iterable[Mapping[str, str]]) -> TaskIdentity | None:
        """Return the owner that ``tags`` name, in the form of :meth:`as_tagged`; None when they do not name one."""
        values = _own_tags(tags)
        try:
            return cls(values["dag-id"], values["run-id"], values["task-id"], int(values["map-index"]))
        except (KeyError, ValueError):
            return None

    def as_tagged(self) -> TaskIdentity:
        """Return this identity as tags can spell it; ids that AWS refuses as tag values are rewritten alike always."""
        return replace(
            self, dag_id=_tag_value(self.dag_id), run_id=_tag_value(self.run_id), task_id=_tag_value(self.task_id)
        )

    def is_owner(self, owner: TaskIdentity | None) -> bool:
        """Whether ``owner``, as read from tags, is this task instance."""
        return owner is not None and owner.as_tagged() == self.as_tagged()

    def __str__(self) -> str:
        mapped = f" [{self.map_index}]" if self.map_index >= 0 else ""
        return f"task {self.task_id!r}{mapped} of DAG {self.dag_id!r} in run {self.run_id!r}"


def resource_name(
    identity: TaskIdentity, kind: str, generation: int = 0, max_length: int = 63, base_name: str | None = None
) -> str:
    """Return the name of a resource: ``<dag>-<task>-<run hash>-<task hash>-g<generation>``.

    An owner that was read from tags has the same names as the task itself.

    :param kind: one of :data:`KINDS`; a tuning job's name is never longer than 32 characters.
    :param generation: 0 for the first; the next one replaces a resource that failed or was asked for differently.
    :param max_length: a lower limit than SageMaker's.
    :param base_name: what people are to read instead of DAG and task; the hashes tell the rest.
    :raises RequestError: for an unknown kind, a negative generation or a limit that the hashes alone exceed.
    """
    if kind not in KINDS:
        raise RequestError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    if generation < 0:
        raise RequestError(f"generation must be 0 or more, got {generation}.")
    identity = identity.as_tagged()
    digest = _digest(identity.dag_id, identity.run_id, identity.task_id, identity.map_index, kind)
    suffix = f"-{identity.run_hash}-{digest[:_TASK_HASH_LENGTH]}-g{generation}"
    budget = min(max_length, KINDS[kind]) - len(suffix)
    if budget < _SHORTEST_READABLE:
        raise RequestError(
            f"max_length must be at least {len(suffix) + _SHORTEST_READABLE} for generation {generation}, "
            f"got {max_length}."
        )
    words = (base_name, "") if base_name else (identity.dag_id, identity.task_id)
    return _readable(*words, budget, kind) + suffix


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a request asks for, in hexadecimal: all of it but the resource's own name and tags."""
    own_name = next((name for name in _OWN_NAMES if name in request), None)
    asked = {key: value for key, value in request.items() if key not in ("Tags", own_name)}
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def fingerprint_from_tags(tags: Iterable[Mapping[str, str]]) -> str | None:
    """Return the fingerprint among ``tags``, None when there is none."""
    return _own_tags(tags).get("fingerprint")


def user_tags(tags: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the tags that another resource may inherit: neither ours, which name one owner, nor AWS's own."""
    return [dict(tag) for tag in tags if not tag["Key"].lower().startswith((TAG_PREFIX, "aws:"))]


def _own_tags(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"].removeprefix(TAG_PREFIX): tag["Value"] for tag in tags if tag["Key"].startswith(TAG_PREFIX)}


def _digest(*parts: str | int) -> str:
    # JSON keeps the borders between the parts: ("a", "bc") and ("ab", "c") differ.
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def _readable(dag_id: str, task_id: str, budget: int, fallback: str) -> str:
    """Return what people recognise, at most ``budget`` characters; the shorter id leaves its room to the longer one."""
    words = [word for word in (_plain(dag_id), _plain(task_id)) if word] or [fallback]
    if len(words) == 1 or budget < 2 * _SHORTEST_READABLE + 1:
        return words[0][:budget].rstrip("-")
    dag, task = words
    room = budget - 1
    dag_room = max(room - len(task), room // 2)
    dag = dag[:dag_room].rstrip("-")
    return f"{dag}-{task[: room - len(dag)]}".rstrip("-")


def _plain(text: str) -> str:
    """Return ``text`` in letters, digits and single hyphens; accents are dropped."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-zA-Z0-9]+", "-", ascii_text).strip("-")


def _tag_value(text: str) -> str:
    """Return ``text`` when AWS takes it as a tag value, else a readable form of it that is as distinct."""
    if is_tag_value(text):
        return text
    readable = re.sub(r"[^a-zA-Z0-9_./=+@-]", "_", text)[: _TAG_VALUE_LIMIT - 17]
    return f"{readable}.{_digest(text)[:16]}"


def is_tag_value(text: str) -> bool:
    """Whether AWS takes ``text`` as the value of a tag."""
    return (
        0 < len(text) <= _TAG_VALUE_LIMIT // 2 * (2 if text.isascii() else 1)  # AWS counts UTF-16 code units
        and text == text.strip()
        and not text.lower().startswith("aws:")
        and all(character in "_.:/=+-@" or unicodedata.category(character)[0] in "LNZ" for character in text)
    )

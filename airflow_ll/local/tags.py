"""Tags of resources, which SageMaker's own calls and the Resource Groups Tagging API change by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_ll.local.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_ll.local.runtime import Runtime

    Tags = Sequence[dict[str, str]]

__all__ = ["MOST_TAGS", "add_tags", "check_tags", "remove_tags", "tags_of"]

#: Of a resource.
MOST_TAGS = 50


def check_tags(tags: Tags) -> None:
    """Refuse what the shape of tags does not tell.

    :raises ValidationError: a key is reserved, or there twice.
    """
    keys = [tag["Key"] for tag in tags]
    if reserved := [key for key in keys if key.lower().startswith("aws:")]:
        raise ValidationError(f"Tag keys that begin with aws: are reserved for system use, but one is {reserved[0]}.")
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise ValidationError(f"Tag keys must be unique, but {repeated[0]} is given more than once.")


def tags_of(runtime: Runtime, arn: str) -> list[dict[str, str]]:
    """Return the tags of a resource.

    :raises ValidationError: there is no such resource.
    """
    if not runtime.store.arn_exists(arn):
        raise ValidationError(f"Could not find a resource with the ARN {arn}.")
    return runtime.store.tags(arn)


def add_tags(runtime: Runtime, arn: str, tags: Tags) -> None:
    """Set tags of a resource.

    :raises ValidationError: there is no such resource, or it cannot have these tags.
    """
    check_tags(tags)
    keys = {tag["Key"] for tag in (*tags_of(runtime, arn), *tags)}
    if len(keys) > MOST_TAGS:
        raise ValidationError(f"A resource can have {MOST_TAGS} tags, but this one would have {len(keys)}.")
    runtime.store.add_tags(arn, tags)


def remove_tags(runtime: Runtime, arn: str, keys: Iterable[str]) -> None:
    """Remove tags of a resource; keys that it does not have do not matter.

    :raises ValidationError: there is no such resource.
    """
    tags_of(runtime, arn)
    runtime.store.delete_tags(arn, keys)

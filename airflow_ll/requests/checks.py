"""How specs check themselves: a rule a setting, one sentence a fault, all faults at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.exceptions import RequestError
from airflow_ll.requests.names import is_tag_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "CONTENT_TYPE",
    "EXPERIMENT",
    "FLAG",
    "IMAGE",
    "INSTANCE_TYPE",
    "KMS_KEY",
    "NAME",
    "ROLE",
    "S3_URI",
    "SECURITY_GROUPS",
    "SUBNETS",
    "TAGS",
    "TEXT",
    "VERBATIM",
    "Rule",
    "Spec",
    "environment",
    "instance_of",
    "list_of",
    "number",
    "one_of",
    "present",
    "s3_uri",
    "setting",
    "text",
    "vpc_config",
    "vpc_faults",
    "whole",
]

_SHOWN: Final = 100
_LINE: Final = r"[^\r\n\x85\u2028\u2029]"  # what a dot means in the API's patterns


@dataclass(frozen=True)
class Rule:
    """What a setting may be: a sentence part after "must be", and the test itself."""

    allowed: str
    accepts: Callable[[Any], bool]


def setting(rule: Rule, default: Any = MISSING, factory: Any = MISSING) -> Any:
    """Declare a field of a :class:`Spec` with its rule; a default of None makes None allowed."""
    return field(default=default, default_factory=factory, metadata={"rule": rule})


class Spec:
    """A frozen dataclass whose fields are declared by :func:`setting`; making a faulty one raises."""

    def __post_init__(self) -> None:
        faults = [*self._setting_faults()] or [*self.conflicts()]
        if faults:
            raise RequestError("\n".join(faults))

    def conflicts(self) -> Iterator[str]:
        """Yield a sentence for each disagreement between settings that are all right by themselves."""
        yield from ()

    def _setting_faults(self) -> Iterator[str]:
        for one in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            rule: Rule | None = one.metadata.get("rule")
            value = getattr(self, one.name)
            if rule is None or (value is None and one.default is None) or rule.accepts(value):
                continue
            yield f"{type(self).__name__}.{one.name} must be {rule.allowed}, got {_shown(value)}."


def text(pattern: str, allowed: str, longest: int) -> Rule:
    """Return the rule for a string of at most ``longest`` characters that matches all of ``pattern``."""
    compiled = re.compile(pattern)
    return Rule(
        allowed, lambda value: isinstance(value, str) and len(value) <= longest and bool(compiled.fullmatch(value))
    )


def whole(low: int, high: int | None = None) -> Rule:
    """Return the rule for an integer in a range."""
    allowed = f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
    return Rule(allowed, lambda value: type(value) is int and low <= value and (high is None or value <= high))


def number(low: float, high: float) -> Rule:
    """Return the rule for a number in a range, both ends included."""
    return Rule(
        f"a number from {low:g} to {high:g}",
        lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high,
    )


def one_of(*values: str) -> Rule:
    """Return the rule for an enumeration."""
    return Rule("one of " + ", ".join(map(repr, values)), lambda value: isinstance(value, str) and value in values)


def environment(entries: int, longest: int) -> Rule:
    """Return the rule for environment variables; AWS's limits differ between jobs and models."""
    name = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
    return Rule(
        f"a dict of at most {entries} environment variables with strings of at most {longest} characters as values",
        lambda value: (
            isinstance(value, Mapping)
            and len(value) <= entries
            and all(
                isinstance(key, str)
                and name.fullmatch(key)
                and isinstance(item, str)
                and max(len(key), len(item)) <= longest
                for key, item in value.items()
            )
        ),
    )


def list_of(item: Rule, what: str, most: int, least: int = 0) -> Rule:
    """Return the rule for a list of things that each follow the rule ``item``."""
    count = f"at most {most}" if not least else f"{least} to {most}"
    return Rule(
        f"a list of {count} {what}",
        lambda value: _is_list(value) and least <= len(value) <= most and all(item.accepts(one) for one in value),
    )


def instance_of(kind: type) -> Rule:
    """Return the rule for a spec inside a spec."""
    article = "an" if kind.__name__[0] in "AEIO" else "a"
    return Rule(f"{article} {kind.__name__}", lambda value: isinstance(value, kind))


def s3_uri(longest: int) -> Rule:
    """Return the rule for a location in S3."""
    return text(rf"s3://[^/\s]+(/{_LINE}*)?", "an S3 URI (s3://bucket/key)", longest)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _are_tags(value: Any) -> bool:
    if not (_is_list(value) and len(value) <= 50 and all(isinstance(tag, Mapping) for tag in value)):
        return False
    if not all(set(tag) == {"Key", "Value"} and all(isinstance(part, str) for part in tag.values()) for tag in value):
        return False
    keys = [tag["Key"] for tag in value]
    if len(set(keys)) < len(keys) or not all(is_tag_value(tag["Value"]) for tag in value if tag["Value"]):
        return False
    return all(len(key) <= 128 and is_tag_value(key) and not key.lower().startswith("aws:") for key in keys)


_NETWORK_ID: Final = text("[-0-9a-zA-Z]+", "an id", 32)
_EXPERIMENT_NAME: Final = text("[a-zA-Z0-9](-*[a-zA-Z0-9])*", "a name", 120)
_EXPERIMENT_MEMBERS: Final = {"ExperimentName", "TrialName", "TrialComponentDisplayName", "RunName"}

NAME: Final = text(
    "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    "1 to 63 letters, digits and hyphens that begin and end with a letter or digit",
    63,
)
ROLE: Final = text(
    r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
    "the ARN of an IAM role (arn:aws:iam::<account>:role/<name>)",
    2048,
)
S3_URI: Final = s3_uri(1024)
INSTANCE_TYPE: Final = text(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", "a SageMaker instance type such as 'ml.m5.xlarge'", 64)
KMS_KEY: Final = text("[a-zA-Z0-9:/_-]+", "the id, alias or ARN of a KMS key", 2048)
IMAGE: Final = text(r"\S+", "the URI of an image", 255)
CONTENT_TYPE: Final = text(f"{_LINE}+", "a content type such as 'text/csv'", 256)
TEXT: Final = text(f"{_LINE}+", "a non-empty string", 1024)
FLAG: Final = Rule("True or False", lambda value: isinstance(value, bool))
SUBNETS: Final = list_of(_NETWORK_ID, "subnet ids", 16)
SECURITY_GROUPS: Final = list_of(_NETWORK_ID, "security group ids", 5)
TAGS: Final = Rule(
    "a list of at most 50 tags {'Key': ..., 'Value': ...} with distinct keys that do not begin with aws:, in letters, "
    "digits, spaces and _.:/=+-@",
    _are_tags,
)
EXPERIMENT: Final = Rule(
    f"a dict with keys among {', '.join(sorted(_EXPERIMENT_MEMBERS))} and names as values",
    lambda value: (
        isinstance(value, Mapping)
        and set(value) <= _EXPERIMENT_MEMBERS
        and all(_EXPERIMENT_NAME.accepts(item) for item in value.values())
    ),
)
VERBATIM: Final = Rule("a dict as the SageMaker API takes it", lambda value: isinstance(value, Mapping))


def present(**members: Any) -> dict[str, Any]:
    """Return the members that say something: neither None nor empty."""
    return {name: value for name, value in members.items() if value is not None and value not in ({}, [], ())}


def vpc_config(subnets: Sequence[str], security_group_ids: Sequence[str]) -> dict[str, list[str]] | None:
    """Return the VpcConfig member, None without a VPC."""
    return {"Subnets": list(subnets), "SecurityGroupIds": list(security_group_ids)} if subnets else None


def vpc_faults(where: str, subnets: Sequence[str], security_group_ids: Sequence[str]) -> Iterator[str]:
    """Yield the fault of half a VPC."""
    if bool(subnets) != bool(security_group_ids):
        yield (
            f"{where}.subnets and security_group_ids must be given together or not at all, "
            f"got {list(subnets)!r} and {list(security_group_ids)!r}."
        )


def _shown(value: object) -> str:
    if isinstance(value, Mapping):  # its values may be secrets
        return f"a {type(value).__name__} with the keys {', '.join(map(str, value)) or '(none)'}"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."

"""Which fault rule applies to what happens now; the rules may change while the runtime runs."""

from __future__ import annotations

import os
import random
import stat
import threading
from typing import TYPE_CHECKING

from airflow_ll.exceptions import FaultRuleError
from airflow_ll.local.faults.rules import parse_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from airflow_ll.local.faults.rules import Rule

__all__ = ["Faults", "write_rules"]

RULES_FILE = "faults"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def write_rules(data_dir: Path, rules: Iterable[str]) -> None:
    """Give the runtime on ``data_dir`` other rules from its next call on; none takes them all away.

    The rules of its command line stay. All rules of the file count from one again.

    :raises FaultRuleError: one of them is no rule; nothing changes then.
    """
    lines = list(rules)
    parse_rules(lines)
    part = data_dir / f"{RULES_FILE}.{os.getpid()}.{threading.get_ident()}.part"
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.chmod(0o600)
    part.replace(data_dir / RULES_FILE)


class _Counted:
    """A rule and how often what it is about has happened."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._seen = self._applied = 0
        self._random = random.Random(rule.settings.get("seed"))  # noqa: S311 - chance, not secrets

    def applies(self) -> bool:
        """Count one more matching event, and return whether the rule applies to it."""
        self._seen += 1
        settings = self.rule.settings
        if "nth" in settings:
            return bool(self._seen == settings["nth"])
        if self._applied >= settings.get("times", self._applied + 1) or self._random.random() >= settings.get(
            "rate", 1
        ):
            return False
        self._applied += 1
        return True


class Faults:
    """The rules of the command line, and those of the file ``faults`` in the data directory.

    The file is looked at by every event, so a change counts from the next one on. It must belong to the user that
    runs the runtime and be writable by nobody else: a rule can kill processes.
    """

    def __init__(self, data_dir: Path, rules: Sequence[Rule] = ()) -> None:
        self._path = data_dir / RULES_FILE
        self._lock = threading.Lock()
        self._fixed = [_Counted(rule) for rule in rules]
        self._changing: list[_Counted] = []
        self._read: tuple[int, int, int] | None = None

    def take(self, effects: Iterable[str], **names: str) -> list[Rule]:
        """Count an event, and return the rules of these effects that apply to it, in the order they were given.

        :param names: what the patterns of the rules are held against.
        :raises FaultRuleError: the file has a rule that is none, or is not the runtime's user's alone.
        """
        with self._lock:
            self._refresh()
            if not self._fixed and not self._changing:
                return []
            wanted = set(effects)
            return [
                one.rule
                for one in (*self._fixed, *self._changing)
                if one.rule.effect in wanted and one.rule.matches(**names) and one.applies()
            ]

    def seconds(self, kind: str, resource: str, phase: str) -> float:
        """Return how much longer the rules let a phase take."""
        return float(sum(rule["seconds"] for rule in self.take(["slow"], kind=kind, resource=resource, phase=phase)))

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._changing, self._read = [], None
            return
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if state == self._read:
            return
        if found.st_uid != os.getuid() or found.st_mode & _WRITABLE_BY_OTHERS:
            raise FaultRuleError(
                f"The fault rules in {self._path} could have been written by somebody else: "
                "the file must belong to the user of the runtime and be writable by nobody else (chmod 600)."
            )
        rules = parse_rules(self._path.read_text(encoding="utf-8", errors="replace").splitlines())
        self._changing, self._read = [_Counted(rule) for rule in rules], state

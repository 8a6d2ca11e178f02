"""What SageMaker writes into a container's ``input/config``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError, HyperparameterError
from airflow_ll.hyperparameters import HYPERPARAMETERS, LinearLearnerHyperparameters
from airflow_ll.hyperparameters.rules import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_ll.learner.job_log import JobLog

__all__ = ["CHANNELS", "Configuration", "read_configuration"]

CHANNELS = ("train", "validation", "test")

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_MISSING = "No value(s) were specified for '{}' which are required hyperparameter(s) (caused by ValidationError)"
_UNEXPECTED = "Additional hyperparameters are not allowed ('{}' was unexpected) (caused by ValidationError)"


@dataclass(frozen=True)
class Configuration:
    """One job's configuration.

    Attributes
    ----------
    given : Mapping[str, str]
        The hyperparameters as the user sent them, with the service's private ones.
    content_types : Mapping[str, str or None]
        Of each channel that the job has.
    host : str
        This container's name.
    pipes : frozenset of str
        The channels in Pipe mode.
    """

    given: Mapping[str, str]
    content_types: Mapping[str, str | None]
    host: str
    pipes: frozenset[str] = frozenset()

    def hyperparameters(self) -> LinearLearnerHyperparameters:
        """Check and return the hyperparameters.

        Raises
        ------
        HyperparameterError
            Naming every fault.
        """
        try:
            hp = LinearLearnerHyperparameters.from_request(self.given)
        except HyperparameterError as error:
            raise HyperparameterError([self._as_the_service(fault) for fault in error.faults]) from error
        beyond = [name for name, value in hp.given.items() if isinstance(value, float) and abs(value) > _FLOAT32_MAX]
        if beyond:
            raise HyperparameterError(
                [f"{name} is {self.given[name]}, but training calculates in float32, to 3.4e38." for name in beyond]
            )
        return hp

    def _as_the_service(self, fault: str) -> str:
        """Return a fault in the service's words, which users look up, where these are known."""
        for name in self.given:
            if fault == unknown_name(name):
                return _UNEXPECTED.format(name)
        missing = fault.startswith("predictor_type must be") and "predictor_type" not in self.given
        return _MISSING.format("predictor_type") if missing else fault

    @property
    def tuned(self) -> bool:
        """Whether the job belongs to a tuning job."""
        return bool(self.given.get("_tuning_objective_metric"))

    def announce(self, log: JobLog) -> None:
        """Write the configuration to the log, as the service does."""
        defaults = {
            name: _text(parameter.default)
            for name, parameter in HYPERPARAMETERS.items()
            if parameter.default is not None
        }
        log.info(f"Reading default configuration from airflow_ll.hyperparameters: {defaults}")
        log.info(f"Merging with provided configuration from hyperparameters.json: {dict(self.given)}")
        log.info(f"Final configuration: {defaults | dict(self.given)}")


def read_configuration(root: Path) -> Configuration:
    """Read the three files below ``root/input/config``.

    Raises
    ------
    OSError, ValueError
        ``hyperparameters.json`` is missing, or a file is not what the service writes: the platform's fault.
    DataError
        The job asks for what this learner does not do: another channel, several hosts.
    """
    folder = root / "input" / "config"
    given = _read(folder / "hyperparameters.json")
    resources = _read(folder / "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
    channels = _read(folder / "inputdataconfig.json", _found_channels(root))
    hosts = resources.get("hosts") or []
    if len(hosts) > 1:
        raise DataError(
            f"This learner trains on one machine, but the job has {len(hosts)} hosts. Please set instance_count to 1."
        )
    for name, channel in channels.items():
        if not isinstance(channel, dict):
            raise ValueError(f"inputdataconfig.json has {channel!r} for the channel '{name}', and not a JSON object")
        if not isinstance(channel.get("ContentType") or "", str):
            raise ValueError(f"inputdataconfig.json has {channel['ContentType']!r} as ContentType of '{name}'")
        if name not in CHANNELS:
            raise DataError(f"Unknown data channel '{name}'. LinearLearner reads {', '.join(CHANNELS)}.")
    if "train" not in channels:
        raise DataError("The data channel 'train' is missing. Please provide it and try again.")
    return Configuration(
        {str(name): str(value) for name, value in given.items()},
        {name: channel.get("ContentType") or None for name, channel in channels.items()},
        str(resources.get("current_host", "algo-1")),
        frozenset(name for name, channel in channels.items() if channel.get("TrainingInputMode") == "Pipe"),
    )


def _read(path: Path, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    if otherwise is not None and not path.exists():
        return otherwise
    document = json.loads(path.read_text())
    if not isinstance(document, dict):
        raise ValueError(f"{path} is not a JSON object")
    return document


def _found_channels(root: Path) -> dict[str, Any]:
    folder = root / "input" / "data"
    return {name: {} for name in CHANNELS if (folder / name).is_dir()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

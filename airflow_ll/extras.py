"""Optional dependencies: import them where they are used, or say in one sentence how to get them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from airflow_ll.exceptions import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["require"]


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``module``, which the optional extra ``extra`` installs.

    :param purpose: what needs it, as the subject of a sentence: "Sparse features".
    :raises MissingExtraError: naming the module and the pip command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise  # the module is there, but something it needs is not: that is another fault
        raise MissingExtraError(
            f"{purpose} needs the package {error.name!r}, which is not installed: "
            f"run pip install 'airflow-ll[{extra}]'."
        ) from error

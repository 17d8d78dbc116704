"""Faults, the report made of them, and JSON values that complain where they stand.

The vocabulary that all modules of :mod:`enormous.ome.validate` share.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]
Kind = Literal["text", "number", "integer", "boolean", "list", "object"]

_ARTICLES = {
    "text": "text",
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Parameters
    ----------
    path : str
        Of the group or array inside the store; empty at its root.
    rule : str
        A short name to search for: ``translation``.
    message : str
        One line that says what is wrong and what should be there.
    severity : {"error", "warning"}
        An error breaks the specification or places data wrongly; a warning is allowed,
        but will surprise somebody.
    """

    path: str
    rule: str
    message: str
    severity: Severity = "error"


@dataclass(frozen=True)
class Report:
    """What :func:`enormous.ome.validate.validate` found.

    Parameters
    ----------
    url : str
    kind : str
        As :class:`enormous.ome.inspect.Found` has it; ``unknown`` where that is damaged.
    version : str or None
        Of OME-Zarr, as far as it is stated or can be told.
    faults : tuple of Fault
        In the order they were met.
    checked : dict
        How many images, label images, levels, arrays, plates, wells and data objects were
        looked at.
    notes : tuple of str
        What could not be checked, or was passed over.
    """

    url: str
    kind: str
    version: str | None
    faults: tuple[Fault, ...]
    checked: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that are errors."""
        return tuple(fault for fault in self.faults if fault.severity == "error")

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """The faults that are warnings."""
        return tuple(fault for fault in self.faults if fault.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return not self.errors


@dataclass
class Findings:
    """What a run has found so far."""

    faults: list[Fault] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def error(self, path: str, rule: str, message: str) -> None:
        """Add an error."""
        self._add(path, rule, message, "error")

    def warn(self, path: str, rule: str, message: str) -> None:
        """Add a warning."""
        self._add(path, rule, message, "warning")

    def note(self, text: str) -> None:
        """Add what was not checked, once."""
        if text not in self.notes:
            self.notes.append(text)

    def _add(self, path: str, rule: str, message: str, severity: Severity) -> None:
        self.faults.append(Fault(path, rule, " ".join(message.split()), severity))


@dataclass(frozen=True)
class Value:
    """A JSON value, with its name for messages: ``multiscales[0].axes[1]``."""

    findings: Findings
    path: str
    name: str
    value: Any

    def error(self, rule: str, message: str) -> None:
        """Complain of this value."""
        self.findings.error(self.path, rule, f"{self.name} {message}")

    def warn(self, rule: str, message: str) -> None:
        """Warn of this value."""
        self.findings.warn(self.path, rule, f"{self.name} {message}")

    def get(self, key: str, kind: Kind, rule: str, *, required: bool = False) -> Value | None:
        """The value below `key`, if it is there and of that kind; complains where it should be."""
        name = f"{self.name}.{key}".lstrip(".")
        if key not in self.value:
            if required:
                self.findings.error(self.path, rule, f"{self.name} has no {key!r}".lstrip())
            return None
        inner = Value(self.findings, self.path, name, self.value[key])
        if inner.value is None and not required:
            inner.warn(rule, "is null; leave it out where there is nothing to say")
            return None
        return inner if inner.check(kind, rule) else None

    def items(self, kind: Kind, rule: str) -> Iterator[Value]:
        """The members of a list that are of that kind; complains of the others."""
        for number, member in enumerate(self.value):
            inner = Value(self.findings, self.path, f"{self.name}[{number}]", member)
            if inner.check(kind, rule):
                yield inner

    def check(self, kind: Kind, rule: str) -> bool:
        """Whether the value is of that kind; complains otherwise."""
        if _is(self.value, kind):
            return True
        self.error(rule, f"is {shown(self.value)}, not {_ARTICLES[kind]}")
        return False


def _is(value: Any, kind: Kind) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "list":
        return isinstance(value, list)
    if kind == "object":
        return isinstance(value, Mapping)
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int)
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def shown(value: Any) -> str:
    """A JSON value as a message can quote it."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."

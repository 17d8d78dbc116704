"""Plans as canonical JSON, and back: for their hash, their journal and other processes.

Called by :class:`enormous.engine.plan.Plan`, the journal and the executors. Nothing is ever
unpickled from disk: JSON can name only dataclasses and top-level functions of this package,
and of modules that the running program has said it trusts.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from typing import Any

from enormous.errors import DataError, UsageError

_trusted: set[str] = set()


def trust(*modules: str) -> None:
    """Let plans name dataclasses and functions of further modules, in this process.

    Worker processes are told by the process that starts them; a file never tells.

    Parameters
    ----------
    *modules : str
        Full names: ``my_lab.filters``.
    """
    _trusted.update(modules)


def trusted() -> tuple[str, ...]:
    """The modules named to :func:`trust`."""
    return tuple(sorted(_trusted))


def freeze(value: Any) -> str:
    """Write a frozen value as canonical JSON: equal values give equal text.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, a tuple, list or dict (string keys, in their order), a
        frozen dataclass, a top-level function; of this package or a trusted module.

    Raises
    ------
    UsageError
        If anything in it is something else.
    """
    return json.dumps(as_json(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def thaw(text: str | bytes) -> Any:
    """Rebuild what :func:`freeze` wrote.

    Raises
    ------
    DataError
        If the text is damaged, of another version, or names what may not be named.
    """
    try:
        return from_json(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"a stored plan cannot be read: {error}") from error


def as_json(value: Any) -> Any:
    """The JSON value that stands for a frozen value; see :func:`freeze`."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):  # numpy's float64 is one as well
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if type(value) is tuple:
        return [as_json(item) for item in value]
    if type(value) is list:
        return {"list": [as_json(item) for item in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": [[key, as_json(item)] for key, item in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass_as_json(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return {"function": _name(value)}
    raise UsageError(
        f"a plan cannot hold {value!r} ({type(value).__name__}): use numbers, strings, tuples and "
        "frozen dataclasses"
    )


def _dataclass_as_json(value: Any) -> dict[str, Any]:
    if not value.__dataclass_params__.frozen:
        raise UsageError(f"a plan cannot hold a {type(value).__name__}, which is not frozen")
    fields = {
        field.name: as_json(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.init
    }
    return {"type": _name(type(value)), "fields": fields}


def from_json(value: Any) -> Any:
    """Inverse of :func:`as_json`."""
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "list" in value:
        return [from_json(item) for item in value["list"]]
    if "dict" in value:
        return {key: from_json(item) for key, item in value["dict"]}
    if "function" in value:
        found = _find(value["function"])
        if isinstance(found, type) or not callable(found):
            raise DataError(f"a stored plan names {value['function']}, which is no function")
        return found
    found = _find(value["type"])
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise DataError(f"a stored plan names {value['type']}, which is no dataclass")
    return found(**{name: from_json(item) for name, item in value["fields"].items()})


def _allowed(module: str) -> bool:
    return module == "enormous" or module.startswith("enormous.") or module in _trusted


def _name(thing: Any) -> str:
    """``module:name`` of a class or function that can be found again under it."""
    module, name = getattr(thing, "__module__", None), thing.__qualname__
    if not module or not name.isidentifier():
        raise UsageError(f"a plan cannot hold {name}: only what stands at the top of a module")
    if not _allowed(module):
        raise UsageError(
            f"a plan cannot hold {module}.{name}: it is not of this package "
            f"(enormous.engine.trust({module!r}) allows it in this program)"
        )
    if _find(f"{module}:{name}") is not thing:
        raise UsageError(f"a plan cannot hold {module}.{name}: that name now means another thing")
    return f"{module}:{name}"


def _find(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not _allowed(module) or not attribute.isidentifier():
        raise DataError(
            f"a stored plan names {name}, which is not of this package; was it made by it?"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DataError(
            f"a stored plan names {name}, which this version does not have; use the version that "
            "made it"
        ) from error
    if getattr(found, "__module__", None) != module:  # imported there from elsewhere
        raise DataError(f"a stored plan names {name}, which is not of that module")
    return found

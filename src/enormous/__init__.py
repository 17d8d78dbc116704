"""Chunk, convert and process 3D scans that do not fit in memory.

The toolkit of the textbook *Enormous Images*. Modules stand on floors (see
CONTRIBUTING.md): imports go down or sideways, never up. Nothing heavy is
imported here, so that ``enormous --help`` answers at once.
"""

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "run":  # by name, as nothing below the engine shall depend on it through this
        return import_module("enormous.engine").run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

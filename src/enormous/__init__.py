"""Chunk, convert and process 3D scans that do not fit in memory.

The toolkit of the textbook *Enormous Images*. Modules stand on floors (see
CONTRIBUTING.md): imports go down or sideways, never up. Nothing heavy is
imported here, so that ``enormous --help`` answers at once.
"""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "run":
        from enormous.engine import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

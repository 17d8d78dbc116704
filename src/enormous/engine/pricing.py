"""What a plan will take: seconds of this machine at least, and money in a cloud at most.

Called by :meth:`enormous.engine.plan.Plan.as_dict` for ``--dry-run``.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from enormous.engine.pool import workers_or_default

if TYPE_CHECKING:
    from enormous.engine.plan import Plan

# List prices of AWS S3 Standard, us-east-1, in USD
PRICES_OF = "AWS S3 Standard us-east-1, list prices of November 2026"
PUT_USD = 0.005 / 1000  # a request
GET_USD = 0.0004 / 1000
GB_MONTH_USD = 0.023
EGRESS_USD = 0.09  # a GB that leaves the cloud

_EDGE = 64  # voxels of the chunk that is measured, along each axis
_BUDGET = 0.1  # seconds for each of encoding and decoding


def time_needed(plan: Plan, workers: int) -> dict[str, Any]:
    """Seconds that encoding and decoding alone take on this machine, as measured now.

    Parameters
    ----------
    plan : Plan
    workers : int

    Returns
    -------
    dict
        ``seconds_at_least`` (None if the plan names no codec), the measured speeds of one
        worker in bytes per second, and what they mean.
    """
    if plan.codec is None:
        return {"seconds_at_least": None, "basis": "this operation encodes nothing to measure"}
    encode, decode = speeds(plan.codec)
    busy = min(workers, workers_or_default(None))  # more workers than cores are no faster
    return {
        "seconds_at_least": (plan.writes / encode + plan.reads / decode) / busy,
        "encode_bytes_per_second": encode,
        "decode_bytes_per_second": decode,
        "basis": f"{plan.codec} on a chunk of correlated noise, measured on this machine just "
        f"now, by {busy} workers; disk, network and computing come on top",
    }


@lru_cache
def speeds(codec: str) -> tuple[float, float]:
    """Bytes per second that one thread of this machine encodes and decodes with a codec."""
    from enormous.codecs import Codec

    chosen = Codec.parse(codec)
    chunk = _noise()
    encoded, encode = _measured(lambda: chosen.encode(chunk, 2))
    _, decode = _measured(lambda: chosen.decode(encoded))
    return len(chunk) / encode, len(chunk) / decode


def _measured(call: Any) -> tuple[Any, float]:
    """Its result, and the seconds of the quickest of its calls."""
    result = call()  # loads the library
    best = float("inf")
    until = time.perf_counter() + _BUDGET
    while True:
        began = time.perf_counter()
        call()
        ended = time.perf_counter()
        best = min(best, ended - began)
        if ended > until:
            return result, best


def _noise() -> bytes:
    """A chunk as a scanner makes it, uint16: smooth, with noise that neighbours share."""
    import numpy as np

    noise = np.random.default_rng(0).normal(size=(_EDGE,) * 3)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis)
    ramp = np.linspace(8000, 12000, _EDGE)
    return bytes((ramp + 150 * noise).astype("<u2").tobytes())


def cost(plan: Plan) -> dict[str, Any]:
    """Dollars that the output costs in an object store, if nothing could be compressed.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict
        For storing it once, keeping it a month, and reading all of it from outside.
    """
    gigabytes = (plan.disk_bytes - plan.scratch_bytes) / 1e9
    return {
        "put_usd": plan.objects * PUT_USD,
        "month_usd": gigabytes * GB_MONTH_USD,
        "download_usd": plan.objects * GET_USD + gigabytes * EGRESS_USD,
        "basis": f"{PRICES_OF}; at most, as if nothing could be compressed",
    }

"""Plan, then run: what every operation is made of.

Floor 2, explained in part 8. An operation makes a :class:`Plan`; :func:`run` executes it on
threads, processes or a cluster, and :func:`finish` completes what was run in shares.
"""

from __future__ import annotations

from enormous.engine.freeze import trust
from enormous.engine.plan import Plan, Stage
from enormous.engine.run import Done, finish, run
from enormous.engine.work import Work

__all__ = ["Done", "Plan", "Stage", "Work", "finish", "run", "trust"]

"""What a conversion is, as its plan keeps it: read by the blocks and by what finishes the image.

Made by :mod:`enormous.create.convert`.
"""

from __future__ import annotations

from dataclasses import dataclass

from enormous.create.sources.source import Source
from enormous.create.target import Target
from enormous.create.values import FieldOfView, Window
from enormous.ome.metadata import Axis

#: Of the chunks that a mask touches, one in so many is encoded without it too, to tell what
#: it saves; all, where they are no more than the second number.
SAMPLE_EVERY, SAMPLE_ALL = 8, 64


@dataclass(frozen=True)
class Conversion:
    """All that the blocks of a conversion need, and what is written about it.

    Parameters
    ----------
    source : Source
    target : Target
    axes : tuple of Axis
    window : Window, optional
    view : FieldOfView, optional
        What lies outside of it is masked.
    label : bool
        Makes a label image.
    inside : bool
        It is one of the labels of the image that its folder lies in.
    sample_every : int
        See :data:`SAMPLE_EVERY`.
    """

    source: Source
    target: Target
    axes: tuple[Axis, ...]
    window: Window | None = None
    view: FieldOfView | None = None
    label: bool = False
    inside: bool = False
    sample_every: int = 1

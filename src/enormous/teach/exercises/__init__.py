"""The expected answers of the exercises, computed: one module a chapter.

``enormous.teach.check`` imports ``exercises.how_big`` when ``how-big-1`` is
first checked. A module marks one function an exercise::

    from enormous.teach.check import exercise

    @exercise("how-big-1", hint="How many chunks does each axis have?")
    def files() -> int:
        return 7 * 5 * 5
"""

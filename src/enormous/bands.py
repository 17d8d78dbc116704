"""Which levels of a pyramid one task can make from one read: runs of levels, as bands.

Pure arithmetic, called by every planner that writes a pyramid.
"""

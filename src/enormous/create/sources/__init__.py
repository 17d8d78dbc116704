"""What can be converted, one module a family of formats, and how it is told what is there.

Called by :mod:`enormous.create.convert`.
"""

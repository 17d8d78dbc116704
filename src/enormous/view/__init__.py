"""Looking at scans and at the book: the static server (part 7 of the book).

Nothing is imported here: each module is loaded by the command that needs it.
"""

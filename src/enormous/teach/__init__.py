"""The book's own tools: figures, checks, notebooks and the Sphinx extension.

Nothing is imported here: chapters import ``enormous.teach.figures`` and
``enormous.teach.check`` by name, Sphinx imports ``enormous.teach.extension``.
"""

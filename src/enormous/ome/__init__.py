"""OME-Zarr 0.4 and 0.5: which levels a pyramid has, its metadata, and reading it back.

``pyramid`` (which levels) and ``metadata`` (what is written) are pure;
``read`` opens arrays. Called by everything that writes or describes an image.
"""

"""From a stack of slices, or any volume, to OME-Zarr with a pyramid that is right.

Called by ``enormous convert`` and ``enormous pyramid``, and by the chapters on creating:
``create.convert.run(stack, out)``, ``create.pyramid.run(image)``.
"""

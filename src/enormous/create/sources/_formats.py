"""Which suffix is read by which module, and what to use for formats that none reads.

Called by :func:`enormous.create.sources.open_source`. The one table of what is supported.
"""

from __future__ import annotations

import os

TIFF = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
PNG = (".png",)
JPEG2000 = (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf")
#: Families of slices, by their names in messages.
SLICES = {"TIFF": TIFF, "PNG": PNG, "JPEG 2000": JPEG2000}
NPY = (".npy",)
HDF5 = (".h5", ".hdf5", ".hdf", ".he5", ".nxs")
NIFTI = (".nii", ".nii.gz")
RAW = (".raw", ".vol", ".bin", ".dat", ".img")
#: What is read, and cannot be over HTTP.
FILES = (*TIFF, *PNG, *JPEG2000, *NPY, *HDF5, *NIFTI, *RAW)

_BIOFORMATS = "convert it with bioformats2raw first"
#: Suffix -> what it is, and what to use.
OTHERS = {
    ".czi": ("Zeiss CZI", f"{_BIOFORMATS}, or read it with pylibCZIrw"),
    ".lsm": ("Zeiss LSM", _BIOFORMATS),
    ".zvi": ("Zeiss ZVI", _BIOFORMATS),
    ".nd2": ("Nikon ND2", f"{_BIOFORMATS}, or read it with the Python package nd2"),
    ".lif": ("Leica LIF", f"{_BIOFORMATS}, or read it with readlif"),
    ".xlef": ("Leica XLEF", _BIOFORMATS),
    ".lof": ("Leica LOF", _BIOFORMATS),
    ".ims": (
        "Imaris IMS, which is HDF5",
        "give the array inside: FILE.ims:/DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data "
        "(it may be padded at its ends)",
    ),
    ".oib": ("Olympus OIB", f"{_BIOFORMATS}, or read it with oiffile"),
    ".oif": ("Olympus OIF", f"{_BIOFORMATS}, or read it with oiffile"),
    ".oir": ("Olympus OIR", _BIOFORMATS),
    ".vsi": ("Olympus VSI", _BIOFORMATS),
    ".txm": ("Zeiss Xradia TXM, an OLE container", "export TIFF slices, or read it with dxchange"),
    ".txrm": ("Zeiss Xradia TXRM, projections in an OLE container", "reconstruct them first"),
    ".vgi": ("a VGStudio header", "give the .vol or .raw beside it with its shape and dtype"),
    ".hdr": ("a header of another file", "give the file beside it with its shape and dtype"),
    ".mhd": ("a MetaImage header", "give the .raw beside it with its shape and dtype"),
    ".mha": ("MetaImage", "convert it to .nii with SimpleITK"),
    ".nrrd": ("NRRD, not read yet", "convert it to .nii with SimpleITK, or to .npy with pynrrd"),
    ".nhdr": ("NRRD, not read yet", "convert it to .nii with SimpleITK, or to .npy with pynrrd"),
    ".dcm": ("DICOM, not read yet", "convert it to .nii with dcm2niix"),
    ".dicom": ("DICOM, not read yet", "convert it to .nii with dcm2niix"),
    ".mrc": ("MRC, not read yet", "save it as .npy with the Python package mrcfile"),
    ".rec": ("MRC, not read yet", "save it as .npy with the Python package mrcfile"),
    ".am": ("Amira mesh, not read yet", "export TIFF slices or raw voxels from Amira"),
    ".hx": ("an Amira project", "export TIFF slices or raw voxels from Amira"),
    ".mat": ("MATLAB", "save version 7.3, which is HDF5, as .h5, or use scipy.io and save .npy"),
    ".npz": ("several NumPy arrays in a zip", "save the one you mean with numpy.save as .npy"),
    ".bmp": ("BMP, not read", "convert the slices to TIFF, for example with ImageMagick"),
    ".jpg": ("JPEG, which has lost detail", "go back to the originals, or convert them to TIFF"),
    ".jpeg": ("JPEG, which has lost detail", "go back to the originals, or convert them to TIFF"),
    ".gif": ("GIF, not read", "convert it to TIFF"),
    ".svs": ("Aperio SVS", _BIOFORMATS),
    ".ndpi": ("Hamamatsu NDPI", _BIOFORMATS),
    ".scn": ("Leica SCN", _BIOFORMATS),
    ".mrxs": ("3DHISTECH MIRAX", _BIOFORMATS),
    ".dm3": ("Gatan DM3", "save it as TIFF or .npy with ncempy or HyperSpy"),
    ".dm4": ("Gatan DM4", "save it as TIFF or .npy with ncempy or HyperSpy"),
    ".n5": ("N5, not read yet", "read it with tensorstore and write Zarr"),
    ".zip": ("a zip archive", "unpack it, unless it holds Zarr"),
    ".gz": ("a packed file", "unpack it first with gunzip"),
    ".tar": ("a tar archive", "unpack it first"),
}

READABLE = (
    "folders of TIFF, PNG or JPEG 2000 slices, TIFF, .npy, .h5, .nii, raw voxels and Zarr are read"
)


def suffix(name: str) -> str:
    """The suffix of a file name in lower case, ``.nii.gz`` whole."""
    low = os.path.basename(name).lower()
    return ".nii.gz" if low.endswith(".nii.gz") else os.path.splitext(low)[1]


def advice(name: str) -> str | None:
    """What a format that is not read is, and what to use; None if it is none we know."""
    known = OTHERS.get(suffix(name))
    return f"{known[0]}: {known[1]}" if known else None

"""Files that are no Zarr, by the end of their name: what they are, and what to use instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_omezarr_cloud.errors import NotOmeZarrError

if TYPE_CHECKING:
    from napari_omezarr_cloud.location.place import Location

__all__ = ["as_other_file"]


class _Kind(NamedTuple):
    endings: str
    what: str
    instead: str


_CONVERT = (
    "Convert it to OME-Zarr, for instance with bioformats2raw or NGFF-Converter. Is there an "
    "OME-Zarr of the same image?"
)
_UNPACK = (
    "Unpack it and open the folder, or pack the folder without compression as a zip file, which "
    "is read in parts: zip -0 -r image.zip image.zarr."
)
_INSIDE = "Open the link of the image that it names."

_KINDS = (
    _Kind(".tar .tar.gz .tgz .tar.bz2 .tbz2 .tar.xz .txz .tar.zst", "a tar archive", _UNPACK),
    _Kind(".7z .rar", "a packed archive", _UNPACK),
    _Kind(".gz .bz2 .xz .zst .lz4", "a compressed file", _UNPACK),
    _Kind(".n5", "an N5 container", "Convert it to OME-Zarr, for instance with Fiji."),
    _Kind(".h5 .hdf5 .hdf .he5", "an HDF5 file", _CONVERT),
    _Kind(".ims", "an Imaris file (HDF5)", _CONVERT),
    _Kind(".nc .nc4", "a NetCDF file", _CONVERT),
    _Kind(".ome.tif .ome.tiff .ome.btf", "an OME-TIFF", _CONVERT),
    _Kind(".tif .tiff .btf .tf8", "a TIFF", _CONVERT),
    _Kind(".czi .lsm .zvi", "a Zeiss file", _CONVERT),
    _Kind(".nd2", "a Nikon file", _CONVERT),
    _Kind(".lif .lof .xlef .scn", "a Leica file", _CONVERT),
    _Kind(".oib .oif .oir .vsi", "an Olympus file", _CONVERT),
    _Kind(".svs .ndpi .mrxs .bif .isyntax", "a slide scanner's file", _CONVERT),
    _Kind(".dv .r3d .ics .ids .flex .mvd2 .sld .stk", "a microscope's file", _CONVERT),
    _Kind(".mrc .rec .map .st", "an MRC file (electron microscopy)", _CONVERT),
    _Kind(".nii .nii.gz", "a NIfTI file", _CONVERT),
    _Kind(".nrrd .nhdr .mha .mhd .dcm", "a medical image", _CONVERT),
    _Kind(".png .jpg .jpeg .jp2 .gif .bmp .webp", "a picture", "napari's File > Open reads it."),
    _Kind(".npy .npz", "a NumPy file", "napari's File > Open reads .npy files."),
    _Kind(".mp4 .avi .mov .mkv .webm", "a video", "A plugin of napari for videos may read it."),
    _Kind(".ipynb", "a Jupyter notebook", _INSIDE),
    _Kind(".csv .tsv .parquet .xlsx .xls", "a table", _INSIDE),
    _Kind(".xml", "an XML file, as BigDataViewer has beside its images", _INSIDE),
    _Kind(".json .yaml .yml .txt .md .html .htm .pdf", "a document", _INSIDE),
)
_BY_ENDING = {ending: kind for kind in _KINDS for ending in kind.endings.split()}
_LONGEST_FIRST = sorted(_BY_ENDING, key=len, reverse=True)


def as_other_file(location: Location) -> NotOmeZarrError | None:
    """Return the error for a link that leads, by the end of its name, to a file of another kind.

    None where the name says nothing. Folders may be called anything, so that this explains a
    failure and is no reason not to look.
    """
    name = location.key.rpartition("/")[2].lower()
    ending = next((end for end in _LONGEST_FIRST if name.endswith(end)), None)
    if ending is None or name == ending:
        return None
    kind = _BY_ENDING[ending]
    return NotOmeZarrError(
        "Could not open the image",
        where=str(location),
        why=f"by its name this is {kind.what} ({ending}), and only OME-Zarr and plain Zarr are "
        "read here, as a folder or as a zip file (.ozx, .zip)",
        hint=kind.instead,
    )

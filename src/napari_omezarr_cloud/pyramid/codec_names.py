"""Which codecs an array asks for: there, refused because of what they do, or to be installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from napari_omezarr_cloud.errors import UnsupportedError
from napari_omezarr_cloud.ngff.values import shown

__all__ = ["MOST_NESTED", "check_v2_codecs", "known_v3_codecs"]

MOST_NESTED = 2
"""Shards inside shards, the outer one included."""

_WHAT = "Could not read the array"
_TYPES = ("dtype", "astype", "encode_dtype", "decode_dtype")
_PACKAGES = {"zfpy": "numcodecs[zfpy]", "pcodec": "numcodecs[pcodec]"}
_IMAGE_CODECS = ("jpeg", "jpg", "jp2", "j2k", "jxl", "webp", "png", "avif", "tiff", "lzw", "lerc")


def check_v2_codecs(document: Mapping[str, Any]) -> None:
    """Refuse codecs of a ``.zarray`` that cannot or must not be used.

    Raises
    ------
    UnsupportedError
        Names the codec, and what to install.
    """
    filters = document.get("filters")
    for codec in (document.get("compressor"), *(filters if isinstance(filters, list) else ())):
        if isinstance(codec, Mapping):
            name = str(codec.get("id", ""))
            _refuse_objects(name)
            if not _is_in_numcodecs(name):
                raise _missing(name, "imagecodecs-numcodecs")
            _check_types(name, codec)


def known_v3_codecs(codecs: Sequence[Any], *, nested: int = 1) -> list[Any]:
    """Return codecs of a ``zarr.json`` by the names that zarr-python knows them by.

    Parameters
    ----------
    codecs
        The JSON objects.
    nested
        How many shards it is inside of, and one.

    Raises
    ------
    UnsupportedError
        Names the codec, and what to install.
    """
    return [_known_v3(codec, nested) for codec in codecs]


def _known_v3(codec: Any, nested: int) -> Any:
    if not isinstance(codec, Mapping) or not isinstance(codec.get("name"), str):
        return codec  # zarr says what is wrong
    name, configuration = codec["name"], codec.get("configuration")
    if name == "bytes" and not (isinstance(configuration, Mapping) and configuration.get("endian")):
        # Some writers leave it out: little then, as older zarr-python has it; newer refuses it.
        return {**codec, "configuration": {"endian": "little"}}
    _refuse_objects(name.removeprefix("numcodecs."))
    known = next(_names_of(name), None)
    if known is None:
        raise _missing(name.removeprefix("numcodecs."), "imagecodecs-zarr")
    if not isinstance(configuration, Mapping):
        return {**codec, "name": known, **({"configuration": {}} if known != name else {})}
    _check_types(name, configuration)
    if known == "sharding_indexed":
        if nested > MOST_NESTED:
            raise UnsupportedError(_WHAT, why=f"its shards are nested more than {MOST_NESTED} deep")
        for key in ("codecs", "index_codecs"):
            held = configuration.get(key)
            if isinstance(held, list):
                objects = [{"name": each} if isinstance(each, str) else each for each in held]
                inner = known_v3_codecs(objects, nested=nested + 1)
                configuration = {**configuration, key: inner}
    return {**codec, "name": known, "configuration": configuration}


def _names_of(name: str) -> Iterator[str]:
    """Yield the names, of those that a codec may go by, under which it is there."""
    from zarr.registry import get_codec_class

    for each in (name, f"numcodecs.{name}"):
        if each.startswith("numcodecs.") and not _is_in_numcodecs(each[10:]):
            continue
        try:
            get_codec_class(each)
        except (KeyError, ValueError):
            continue
        yield each


def _is_in_numcodecs(name: str) -> bool:
    from numcodecs.registry import codec_registry, entries

    return name in codec_registry or name in entries


def _missing(name: str, image_package: str) -> UnsupportedError:
    package = _PACKAGES.get(name)
    if name.startswith("imagecodecs_") or any(word in name.lower() for word in _IMAGE_CODECS):
        package = image_package
    hint = (
        f"Install it with: pip install '{package}'; then start again."
        if package
        else "The program that wrote it may have brought it along; ask those who wrote it."
    )
    return UnsupportedError(_WHAT, why=f"its codec {shown(name)} is not installed here", hint=hint)


def _refuse_objects(name: str) -> None:
    """Refuse codecs of objects: a pickle can run any command, the others hold no voxels."""
    if name in ("pickle", "categorize") or name.startswith(("json", "msgpack", "vlen-")):
        raise UnsupportedError(_WHAT, why=f"its codec {name!r} stores objects, not numbers")


def _check_types(name: str, configuration: Mapping[str, Any]) -> None:
    """Refuse filters to other types than numbers: one of text may be megabytes wide."""
    for key in _TYPES:
        if configuration.get(key) is not None:
            try:
                dtype = np.dtype(configuration[key])
            except TypeError:
                dtype = np.dtype(object)
            if dtype.kind not in "biufc":
                raise UnsupportedError(
                    _WHAT, why=f"its filter {name!r} has a {key} of {shown(configuration[key])}"
                )

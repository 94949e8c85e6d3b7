"""Array metadata as other writers spell them → what zarr-python takes, with notes."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_omezarr_cloud.errors import UnsupportedError
from napari_omezarr_cloud.ngff.values import number_or_text, shown

__all__ = ["tidy_v2", "tidy_v3"]

_MISSPELT = "dimension_seperator"
_V2_KEYS = (
    "zarr_format", "shape", "chunks", "dtype", "compressor", "fill_value", "order", "filters",
    "dimension_separator",
)  # fmt: skip
_SPECIAL = ("NaN", "Infinity", "-Infinity")


def tidy_v2(document: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the keys of a ``.zarray`` that matter, with a fill value that its dtype can hold."""
    if _MISSPELT in document:
        document = {"dimension_separator": document[_MISSPELT], **document}
        notes.append(f"{_MISSPELT} was taken for dimension_separator.")
    known = {key: document[key] for key in _V2_KEYS if key in document}
    try:
        dtype = np.dtype(document.get("dtype"))
    except (TypeError, ValueError):
        return known  # zarr says what is wrong
    if document.get("dtype") is not None:
        known["fill_value"] = _fill(document.get("fill_value"), dtype, notes, is_v3=False)
    return known


def tidy_v3(document: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return an array's ``zarr.json`` without short forms and without what is not of the array.

    Raises
    ------
    UnsupportedError
        If something stands between the array and the store (``storage_transformers``).
    """
    tidy = {k: v for k, v in document.items() if k not in ("attributes", "consolidated_metadata")}
    if transformers := tidy.get("storage_transformers"):
        first = transformers[0] if isinstance(transformers, list) else transformers
        name = first.get("name") if isinstance(first, Mapping) else first
        raise UnsupportedError(
            "Could not read the array", why=f"its storage transformer {shown(name)} is not known"
        )
    kind = tidy.get("data_type")
    if isinstance(kind, Mapping) and not kind.get("configuration"):
        tidy["data_type"] = kind = kind.get("name")
    for name in ("chunk_grid", "chunk_key_encoding"):
        if isinstance(tidy.get(name), str):
            tidy[name] = {"name": tidy[name]}
    if isinstance(tidy.get("codecs"), list):
        tidy["codecs"] = _named(tidy["codecs"])
    try:
        dtype = np.dtype(kind) if isinstance(kind, str) else None
    except TypeError:
        dtype = None
    if dtype is not None:
        tidy["fill_value"] = _fill(document.get("fill_value"), dtype, notes, is_v3=True)
    return tidy


def _named(codecs: list[Any]) -> list[Any]:
    """Return codecs as objects: a name alone is a short form (zarr 3.1 of the specification)."""
    return [{"name": each} if isinstance(each, str) else each for each in codecs]


def _fill(value: object, dtype: np.dtype[Any], notes: list[str], *, is_v3: bool) -> Any:
    if value is None:
        return (_as_json(dtype.type(0)) if dtype.kind in "biufc" else value) if is_v3 else None
    if dtype.kind not in "biufc":
        return value
    number = _number(value, dtype)
    if number is None:
        notes.append(f"The fill value {shown(value)} is no {dtype}; absent chunks are shown as 0.")
        return _as_json(dtype.type(0))
    return _as_json(number)


def _number(value: object, dtype: np.dtype[Any]) -> Any:
    """Return the fill value as a number of the dtype; None if it is none."""
    if dtype.kind == "c":
        return _complex(value, dtype)
    if isinstance(value, str) and (bits := _bits(value, dtype.itemsize)) is not None:
        order = ">" if value.startswith("0x") else dtype.byteorder
        return np.frombuffer(bits, dtype.newbyteorder(order))[0]
    if dtype.kind == "f" and isinstance(value, str) and value in _SPECIAL:
        return dtype.type(float(value.replace("Infinity", "inf")))
    if isinstance(value, bool):
        return dtype.type(value)
    if dtype.kind == "f" and isinstance(value, float):
        return dtype.type(value) if not math.isinf(value) else None
    if isinstance(value, int) and dtype.kind in "iu":
        limits = np.iinfo(dtype)  # integers of 64 bits would lose their last digits as floats
        return dtype.type(value) if limits.min <= value <= limits.max else None
    number = number_or_text(value)
    if number is None:
        return None
    if dtype.kind == "f":
        return dtype.type(number)
    if dtype.kind == "b":
        return dtype.type(number) if number in (0, 1) else None
    return _number(int(number), dtype) if number.is_integer() else None


def _complex(value: object, dtype: np.dtype[Any]) -> Any:
    part = np.dtype(f"f{dtype.itemsize // 2}")
    if isinstance(value, str) and (bits := _bits(value, dtype.itemsize)) is not None:
        return np.frombuffer(bits, dtype)[0]
    parts = list(value) if isinstance(value, list | tuple) else [value, 0.0]
    numbers = [_number(each, part) for each in parts]
    if len(numbers) != 2 or None in numbers:
        return None
    both = np.empty(1, dtype)
    both.real, both.imag = numbers  # real + 1j * imaginary would make NaN of infinity
    return both[0]


def _bits(text: str, nbytes: int) -> bytes | None:
    """Return the bytes of a value that is spelled as such: ``0x7fc00000``, or in base64."""
    try:
        if text.startswith("0x"):
            bits = bytes.fromhex(text[2:])
        else:
            bits = base64.b64decode(text, validate=True) if text.endswith("=") else b""
    except (ValueError, binascii.Error):
        return None
    return bits if len(bits) == nbytes else None


def _as_json(number: Any) -> Any:
    """Return a NumPy number as zarr's metadata hold it."""
    if np.iscomplexobj(number):
        return [_as_json(number.real), _as_json(number.imag)]
    value = number.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else _SPECIAL[1 if value > 0 else 2]
    return value

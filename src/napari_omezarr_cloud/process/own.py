"""Users' own operations: a decorator over a plain function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, get_args, overload

import numpy as np
import numpy.typing as npt

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.docstring import summary_of
from napari_omezarr_cloud.process.dtypes import (
    always_float32,
    given_dtype,
    label_dtype,
    mask_dtype,
    unchanged,
)
from napari_omezarr_cloud.process.functions import remember, without_version
from napari_omezarr_cloud.process.halo import reach_of
from napari_omezarr_cloud.process.operation import (
    Colours,
    Dims,
    DtypeRule,
    HaloRule,
    Input,
    Kind,
    Operation,
    Output,
    Parameter,
)
from napari_omezarr_cloud.process.own_signature import (
    inputs_of,
    parameters_of,
    refused,
    signature_of,
    words,
)
from napari_omezarr_cloud.process.registry import add_operation, remove_operation

__all__ = ["operation"]

F = TypeVar("F", bound=Callable[..., Any])
Halo: TypeAlias = "int | Callable[..., float | Sequence[float]]"

_RULES: Mapping[Output, tuple[DtypeRule, str]] = {
    "image": (always_float32, "biuf"),
    "mask": (mask_dtype, "b"),
    "labels": (label_dtype, "iu"),
}
"""Output → the dtype unless told otherwise, and the kinds of dtype it can have."""

_names: dict[str, str] = {}
"""Path of a function → the name of the operation it is."""


@overload
def operation(function: F, /) -> F: ...
@overload
def operation(
    *,
    name: str = ...,
    title: str = ...,
    group: str = ...,
    help: str = ...,
    parameters: Sequence[Parameter] = ...,
    lengths: Sequence[str] = ...,
    inputs: Sequence[Input] = ...,
    output: Output = ...,
    dtype: npt.DTypeLike | None = ...,
    halo: Halo | None = ...,
    dims: Dims = ...,
    colours: Colours | None = ...,
    holds_gil: bool = ...,
) -> Callable[[F], F]: ...
def operation(
    function: Any = None,
    /,
    *,
    name: str = "",
    title: str = "",
    group: str = "Your own",
    help: str = "",
    parameters: Sequence[Parameter] = (),
    lengths: Sequence[str] = (),
    inputs: Sequence[Input] = (),
    output: Output = "image",
    dtype: npt.DTypeLike | None = None,
    halo: Halo | None = None,
    dims: Dims = "any",
    colours: Colours | None = None,
    holds_gil: bool = False,
) -> Any:
    """Make a function an operation: in the Process dock, in recipes and in ``noc.apply``.

    The function stays as it is and can be called as before. Its arguments without a default are
    the arrays it takes (``yx`` or ``zyx``), those with one are what can be set. Defining it again
    (running a cell of a notebook once more) replaces it.

    Parameters
    ----------
    name
        The word in recipes and scripts; the function's name unless given.
    title, group, help
        What the window shows: a few words, the heading above them, one line. Unless given, they
        come from the function's name and the first sentence of its docstring.
    parameters
        Descriptions of arguments whose annotation and default do not say enough.
    lengths
        Arguments that are lengths in µm. As an operation, the function gets them in pixels of the
        level it runs on: a tuple, one number per axis.
    inputs
        What each array must be, in order. Unless given, an array called ``labels`` or
        ``label_image`` takes labels, one called ``mask`` a mask, any other grey values.
    output
        ``"image"``, ``"mask"`` or ``"labels"``; of the shape of the arrays.
    dtype
        Of the result: ``"same"`` as the first array, or a numpy dtype. Unless given, float32 for
        images, bool for masks, int32 for labels.
    halo
        How many pixels around a pixel count for its result: a number, or a function of the
        arguments it names (lengths as arrays in pixels, one number per axis). With it, large
        images are computed chunk by chunk. Without it, what is in view is computed as one array.
    dims
        ``"any"`` if the function works on planes and volumes, ``"plane"`` to give it each plane
        of a volume.
    colours
        Of a colour picture: ``"each"`` treats every colour alone, ``"together"`` gives the
        function all of them as a last axis, ``"none"`` refuses it.
    holds_gil
        Run it in another process: for what keeps the window from answering, or takes so long that
        *Cancel* should end it. A function that cannot be imported, such as one of a notebook, runs
        in this process all the same.

    Raises
    ------
    OperationError
        If the signature cannot be made a form, or the name is taken.
    """

    def register(function: F) -> F:
        signature = signature_of(function)
        arrays = inputs_of(function, signature, inputs)
        settable = tuple(parameters_of(function, signature, arrays, parameters, lengths))
        called = name or function.__name__
        for word, known in ((dims, get_args(Dims)), (colours or "none", get_args(Colours))):
            if word not in known:
                raise refused(function, f"{word!r} is none of {', '.join(known)}")
        op = Operation(
            name=called,
            title=title or words(called),
            group=group,
            function=remember(function),
            kind=_kind_of(output, halo),
            output=output,
            help=help or summary_of(function) or f"{function.__name__}, a function of your own.",
            dtype_rule=_dtype_rule_of(function, output, dtype),
            halo_rule=None if halo is None else _halo_rule(function, settable, halo),
            parameters=settable,
            inputs=arrays,
            dims=dims,
            colours=colours or ("each" if output == "image" else "none"),
            holds_gil=holds_gil,
        )
        add_operation(op)
        path = without_version(op.function)
        earlier = _names.get(path, op.name)
        if earlier != op.name:
            remove_operation(earlier)
        _names[path] = op.name
        return function

    return register if function is None else register(function)


def _kind_of(output: Output, halo: Halo | None) -> Kind:
    if halo is not None:
        return "local"
    return "objects" if output == "labels" else "unbounded"


def _dtype_rule_of(function: Any, output: Output, dtype: npt.DTypeLike | None) -> DtypeRule:
    if output not in _RULES:
        raise refused(function, f"its output is {output!r}", "Use image, mask or labels.")
    rule, kinds = _RULES[output]
    if dtype is None:
        return rule
    if isinstance(dtype, str) and dtype == "same":
        return unchanged
    try:
        wanted = np.dtype(dtype)
    except TypeError as exc:
        raise refused(
            function, f"there is no dtype {dtype!r}", 'Use "same" or a dtype of numpy.'
        ) from exc
    if wanted.kind not in kinds or wanted == np.float16:
        raise refused(function, f"a layer of {output} cannot hold {wanted}")
    return partial(given_dtype, dtype=wanted.newbyteorder("="))


def _halo_rule(function: Any, parameters: Sequence[Parameter], halo: Halo) -> HaloRule:
    if not callable(halo):
        if isinstance(halo, bool) or not isinstance(halo, int | np.integer) or halo < 0:
            raise refused(
                function, f"its halo is {halo!r}", "A halo is a whole number of pixels from 0 on."
            )
        return partial(reach_of, pixels=int(halo))
    names = list(inspect.signature(halo).parameters)
    known = [parameter.name for parameter in parameters]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise refused(
            function,
            f"its halo asks for {', '.join(unknown)}",
            f"It can be told: {', '.join(known)}." if known else "Nothing can be set on it.",
        )
    return partial(_reach, halo=halo, names=tuple(names), title=function.__name__)


def _reach(
    values: Mapping[str, Any],
    ndim: int,
    *,
    halo: Callable[..., Any],
    names: Sequence[str],
    title: str,
) -> tuple[int, ...]:
    """Ask a user's function for the halo; lengths are arrays, so that ``4 * sigma`` is a number."""
    asked = {name: values[name] for name in names}
    try:
        reach = halo(**{k: np.array(v) if isinstance(v, tuple) else v for k, v in asked.items()})
        per_axis = np.broadcast_to(np.asarray(reach, dtype=np.float64), (ndim,))
    except Exception as exc:  # whatever a user's function raises
        raise OperationError(f"{title} cannot tell its halo", why=str(exc)) from exc
    if not (np.isfinite(per_axis).all() and (per_axis >= 0).all()):
        raise OperationError(f"{title} cannot tell its halo", why=f"it gave {reach}")
    return tuple(int(pixels) for pixels in np.ceil(per_axis - 1e-6))

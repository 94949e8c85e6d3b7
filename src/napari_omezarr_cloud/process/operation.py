"""An operation is data: which function, on what, with which parameters, and how far it looks.

Nothing here loads scikit-image: ``function`` is a path, resolved when the operation runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process.dtypes import given_dtype, working_dtype
from napari_omezarr_cloud.process.parameter import Parameter, ParameterType, Value

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_omezarr_cloud.process.tally import Tally

__all__ = [
    "Colours",
    "Dims",
    "DtypeRule",
    "HaloRule",
    "Input",
    "InputKind",
    "Kind",
    "ObjectValues",
    "Operation",
    "Output",
    "Parameter",
    "ParameterType",
    "Value",
    "validate",
]

Kind = Literal["local", "unbounded", "global", "objects", "projection", "table"]
Output = Literal["image", "mask", "labels", "table", "any"]
Dims = Literal["any", "plane"]
InputKind = Literal["image", "mask", "labels", "any"]
Colours = Literal["each", "together", "none"]
HaloRule: TypeAlias = Callable[[Mapping[str, Any], int], tuple[int, ...]]
ObjectValues: TypeAlias = Callable[["Tally", Sequence[int]], "npt.NDArray[Any]"]
"""From what is known of objects, and the shape of their space, to a value for each."""
DtypeRule: TypeAlias = Callable[[Sequence["np.dtype[Any]"]], "np.dtype[Any]"]


@dataclass(frozen=True)
class Input:
    """One array that an operation takes.

    Attributes
    ----------
    name
        The word in recipes and messages, and (capitalised) in the form.
    kind
        ``image`` takes grey values; ``mask`` takes anything, of which what is not 0 is set, and
        reaches the function as bool; ``labels`` takes numbers of objects, whole numbers; ``any``
        takes grey values as they are, and labels as a mask.
    """

    name: str
    kind: InputKind = "image"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A function from arrays to an array, described so that nobody needs to look inside.

    Attributes
    ----------
    name, title, group
        The word in recipes and scripts, the words in the window, the heading above them.
    function
        ``"package.module:function"``; called with the arrays, then the parameters by name.
    parameters
        What can be set, in the order of the form.
    kind
        ``local`` looks no further than its halo; ``unbounded`` may look everywhere; ``global``
        needs a number measured on the whole image first, and is pixelwise once it has it;
        ``objects`` gives labels, which must be merged across blocks; ``projection`` folds one
        axis; ``table`` gives rows.
    output
        What comes back: ``image``, ``mask`` (bool), ``labels`` (whole numbers), ``table``, or
        ``any``, which only a run can tell: an image or a mask.
    dtype_rule
        Input dtypes to output dtype.
    halo_rule
        Parameters (lengths as a tuple in pixels, one per axis) and number of axes to pixels per
        axis and side; ``None`` where there is no finite halo.
    inputs
        The arrays it takes, in order; all of one shape.
    connectivity_rule
        Of what finds connected components: parameters to the number of axes along which two
        neighbours may differ, by which its objects are joined across blocks. ``None``: what it
        finds in blocks cannot be joined.
    object_rule
        Of what gives each object one value by what is known of all of it (its size, its box, its
        grey values): parameters, lengths in pixels, to a function that does, so that blocks give
        what the whole gives. ``None``, or a rule that gives it: there is none.
    dims
        ``any`` runs on yx or zyx as it is, ``plane`` on each plane of a volume.
    fixed
        Keywords that are always passed; they win over a parameter of the same name.
    takes_spacing
        Whether the function is also given ``spacing``: the size of a pixel per spatial axis, as a
        tuple, in the unit of the lengths.
    colours
        What becomes of a colour picture: ``each`` treats every colour channel alone and gives a
        colour picture; ``together`` *needs* one, is called with it (colours last), and gives one
        value per pixel; ``none`` refuses one.
    keeps_brightness
        Whether a grey value of the result means the same as one of the image, so that both want
        the same contrast.
    holds_gil
        Whether the function is best run in a process: in a thread it keeps others from running
        for long, or takes seconds, in which it cannot be interrupted.
    help
        One line: what it does, and the range of what comes out.
    """

    name: str
    title: str
    group: str
    function: str
    kind: Kind
    output: Output
    help: str
    dtype_rule: DtypeRule
    halo_rule: HaloRule | None = None
    connectivity_rule: Callable[[Mapping[str, Any]], int] | None = None
    object_rule: Callable[[Mapping[str, Any]], ObjectValues | None] | None = None
    parameters: tuple[Parameter, ...] = ()
    inputs: tuple[Input, ...] = (Input("image"),)
    dims: Dims = "any"
    fixed: tuple[tuple[str, Any], ...] = ()
    takes_spacing: bool = False
    colours: Colours = "each"
    keeps_brightness: bool = False
    holds_gil: bool = False

    @property
    def is_described(self) -> bool:
        """Whether what comes back is known beforehand, so that it can be a live layer."""
        return self.output != "any"

    def output_of(self, dtype: np.dtype[Any]) -> Output:
        """Return what a result of this dtype is, where only a run could tell."""
        if self.is_described:
            return self.output
        return "mask" if dtype.kind == "b" else "image"

    def settled(self, dtype: np.dtype[Any]) -> Operation:
        """Return this operation described by one run of it, which gave a result of this dtype."""
        if self.is_described:
            return self
        rule = partial(given_dtype, dtype=dtype)
        return replace(self, output=self.output_of(dtype), dtype_rule=rule)

    def halo(self, values: Mapping[str, Any], spacing: Sequence[float]) -> tuple[int, ...] | None:
        """Return how many pixels of source a block needs on each side, per spatial axis.

        Parameters
        ----------
        values
            Parameters; what is missing takes its default.
        spacing
            Size of a pixel of this level per spatial axis (yx or zyx), in µm; ones (or the
            downscaling relative to level 0) where the image has no length units.

        Returns
        -------
        tuple of int or None
            ``None`` where no halo is enough, and the region must be computed as one array.

        Raises
        ------
        OperationError
            If a value is not allowed.
        """
        if self.halo_rule is None:
            return None
        checked = validate(self, values)
        axes = spacing[-2:] if self.dims == "plane" else spacing
        reach = self.halo_rule(self.in_pixels(checked, axes), len(axes))
        return (0,) * (len(spacing) - len(axes)) + reach

    def in_pixels(self, values: Mapping[str, Any], spacing: Sequence[float]) -> dict[str, Any]:
        """Return the values with each length as a tuple in pixels, one per axis of ``spacing``."""
        lengths = {p.name for p in self.parameters if p.type == "length"}
        return {
            name: tuple(value / size for size in spacing) if name in lengths else value
            for name, value in values.items()
        }

    def is_too_coarse(self, values: Mapping[str, Any], spacing: Sequence[float]) -> bool:
        """Whether a length is below half a pixel of this level, so that nothing would be seen."""
        checked = validate(self, values)
        pixels = self.in_pixels(checked, spacing)
        lengths = [pixels[p.name] for p in self.parameters if p.type == "length"]
        return any(0 < max(per_axis) < 0.5 for per_axis in lengths)

    def output_dtype(self, dtypes: Sequence[np.dtype[Any]], *, rgb: bool = False) -> np.dtype[Any]:
        """Return the dtype of the result, in native byte order.

        Parameters
        ----------
        dtypes
            One per input, as stored (any byte order, float16 too).
        rgb
            A colour picture of integers stays one: it is shown by its dtype's range.

        Raises
        ------
        OperationError
            For complex numbers and what is no number, and where only a run can tell.
        """
        if not self.is_described:
            raise OperationError(
                f"What {self.title} gives is not known before it has run",
                hint="Apply it to the view.",
            )
        pairs = zip(self.inputs, dtypes, strict=True)
        working = [_as_kind(each, working_dtype(np.dtype(dtype))) for each, dtype in pairs]
        if rgb and working[0].kind in "iu":
            return working[0]
        return self.dtype_rule(working)


def _as_kind(wanted: Input, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which an input of this kind reaches the function."""
    if wanted.kind == "mask":
        return np.dtype(np.bool_)
    return np.dtype(np.int32) if wanted.kind == "labels" and dtype.kind == "b" else dtype


def validate(op: Operation, values: Mapping[str, Any]) -> dict[str, Value]:
    """Return every parameter's value as a plain Python value, defaults filled in.

    Parameters
    ----------
    op
        The operation they are for.
    values
        By parameter name; lengths as one number in µm (or level-0 pixels without units).

    Raises
    ------
    OperationError
        If a parameter is unknown (with the nearest name) or a value is not allowed (with what
        is); nothing is clamped.
    """
    names = [parameter.name for parameter in op.parameters]
    for name in values:
        if name not in names:
            near = get_close_matches(str(name), names, n=1)
            raise OperationError(
                f"{op.title} has no parameter {name!r}",
                why=f"its parameters are {', '.join(names)}" if names else "it has none",
                hint=f"Did you mean {near[0]}?" if near else "",
            )
    return {p.name: p.accept(values.get(p.name, p.default), op.title) for p in op.parameters}

"""Short ways to say what can be set; the words and ranges that operations share."""

from __future__ import annotations

from napari_omezarr_cloud.process.parameter import Parameter

__all__ = ["choice", "length", "measured", "number", "switch", "whole"]


def length(
    name: str, default: float, label: str, help: str, *, maximum: float | None = None
) -> Parameter:
    """Return a length in µm; the default suits pixels of 1 µm and is scaled by the form."""
    return Parameter(
        name=name,
        type="length",
        default=default,
        minimum=0.0,
        maximum=maximum,
        step=0.5,
        unit="µm",
        label=label,
        help=help,
    )


def number(
    name: str,
    default: float,
    label: str,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    unit: str | None = None,
) -> Parameter:
    """Return a number with inclusive limits."""
    return Parameter(
        name=name,
        type="float",
        default=default,
        minimum=minimum,
        maximum=maximum,
        step=step,
        unit=unit,
        label=label,
        help=help,
    )


def measured(
    name: str,
    statistic: str,
    label: str,
    help: str,
    *,
    minimum: float | None = None,
    is_of_detail: bool = False,
) -> Parameter:
    """Return a number that is measured from the image where it is not set.

    Parameters
    ----------
    statistic
        ``"package.module:function"``, called with the inputs.
    is_of_detail
        Whether it must be measured on the finest level: noise is averaged away on coarser ones.
    """
    return Parameter(
        name=name,
        type="float",
        default=None,
        minimum=minimum,
        label=label,
        help=help,
        statistic=statistic,
        is_of_detail=is_of_detail,
    )


def whole(
    name: str, default: int, label: str, help: str, *, minimum: int, maximum: int
) -> Parameter:
    """Return a whole number with inclusive limits."""
    return Parameter(
        name=name,
        type="int",
        default=default,
        minimum=minimum,
        maximum=maximum,
        step=1,
        label=label,
        help=help,
    )


def switch(name: str, default: bool, label: str, help: str) -> Parameter:
    """Return a yes or no."""
    return Parameter(name=name, type="bool", default=default, label=label, help=help)


def choice(
    name: str, choices: tuple[str, ...], label: str, help: str, *, default: str | None = None
) -> Parameter:
    """Return a choice of words; the first is the default where none is named."""
    return Parameter(
        name=name,
        type="choice",
        default=default or choices[0],
        choices=choices,
        label=label,
        help=help,
    )

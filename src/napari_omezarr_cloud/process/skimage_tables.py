"""What scikit-image's signatures do not say.

Which arguments are images, what gives labels, what cannot be run on what is in view, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_omezarr_cloud.process.operation import InputKind

__all__ = [
    "EXCEPTIONS",
    "FIRST",
    "GIVES_COLOURS",
    "HIDDEN",
    "LABELLING",
    "LEFT_OUT",
    "OF_COLOURS",
    "SECOND",
    "SECOND_IF_NEEDED",
    "SUBPACKAGES",
]

SUBPACKAGES = (
    "color",
    "exposure",
    "feature",
    "filters",
    "filters.rank",
    "measure",
    "metrics",
    "morphology",
    "registration",
    "restoration",
    "segmentation",
    "transform",
    "util",
)
"""Where functions of images are; the others draw, read files or hold data."""

FIRST: dict[str, InputKind] = {
    "ar": "any",
    "data": "any",
    "gimage": "image",
    "im1": "image",
    "im_true": "labels",
    "image": "any",
    "image0": "any",
    "image0_mask": "mask",
    "image_true": "any",
    "label_field": "labels",
    "label_image": "labels",
    "label_img": "labels",
    "labels": "labels",
    "reference_image": "image",
    "rgb": "image",
    "s1": "labels",
    "seed": "any",
}
"""First arguments that are an image, and what each takes."""

SECOND: dict[str, InputKind] = {
    "im2": "image",
    "im_test": "labels",
    "image1": "any",
    "image1_mask": "mask",
    "image_test": "any",
    "moving_image": "image",
    "reference": "any",
    "s2": "labels",
}
"""Second arguments that are always one."""

SECOND_IF_NEEDED: dict[str, InputKind] = {"labels": "labels", "mask": "mask"}
"""Second arguments that are one where they have no default."""

EXCEPTIONS: dict[tuple[str, str], InputKind] = {
    ("measure.label", "label_image"): "any",
    ("metrics.adapted_rand_error", "image_true"): "labels",
    ("metrics.adapted_rand_error", "image_test"): "labels",
    ("metrics.variation_of_information", "image0"): "labels",
    ("metrics.variation_of_information", "image1"): "labels",
    ("morphology.label", "label_image"): "any",
    ("morphology.reconstruction", "mask"): "any",
}

LABELLING = frozenset(
    {
        "measure.label",
        "morphology.label",
        "morphology.remove_objects_by_distance",
        "segmentation.clear_border",
        "segmentation.expand_labels",
        "segmentation.felzenszwalb",
        "segmentation.join_segmentations",
        "segmentation.morphological_chan_vese",
        "segmentation.morphological_geodesic_active_contour",
        "segmentation.quickshift",
        "segmentation.random_walker",
        "segmentation.relabel_sequential",
        "segmentation.slic",
        "segmentation.watershed",
    }
)
"""What gives the numbers of objects: its integers are labels, not grey values."""

OF_COLOURS = frozenset({"color.rgb2gray", "segmentation.quickshift"})
"""What takes a colour picture, and gives one value per pixel."""

_NEEDS_A_FUNCTION = "it needs a Python function as an argument"
_NEEDS_POINTS = "it needs positions or features beside the image"
GIVES_COLOURS = "it gives several values per pixel"
_GIVES_LEVELS = "it gives images of several sizes"
LEFT_OUT = {
    "color.gray2rgb": GIVES_COLOURS,
    "color.gray2rgba": GIVES_COLOURS,
    "feature.corner_orientations": _NEEDS_POINTS,
    "feature.corner_subpix": _NEEDS_POINTS,
    "feature.draw_haar_like_feature": _NEEDS_POINTS,
    "feature.draw_multiblock_lbp": _NEEDS_POINTS,
    "feature.match_template": "its template is smaller than the image",
    "feature.plot_matched_features": "it draws with matplotlib",
    "filters.filter_forward": _NEEDS_A_FUNCTION,
    "filters.filter_inverse": _NEEDS_A_FUNCTION,
    "filters.try_all_threshold": "it draws with matplotlib",
    "filters.wiener": _NEEDS_A_FUNCTION,
    "measure.ransac": _NEEDS_A_FUNCTION,
    "measure.regionprops": "it gives a table",
    "measure.regionprops_table": "it gives a table",
    "restoration.calibrate_denoiser": _NEEDS_A_FUNCTION,
    "restoration.denoise_invariant": _NEEDS_A_FUNCTION,
    "segmentation.active_contour": _NEEDS_POINTS,
    "segmentation.mark_boundaries": GIVES_COLOURS,
    "transform.hough_ellipse": "it takes hours on an image",
    "transform.pyramid_gaussian": _GIVES_LEVELS,
    "transform.pyramid_laplacian": _GIVES_LEVELS,
    "util.slice_along_axes": "its slices cannot be typed",
}
"""What takes an image first and still cannot be run here, and why."""

HIDDEN = frozenset(
    {
        "channel_axis",
        "copy",
        "extra_properties",
        "force_copy",
        "hist",
        "in_place",
        "intensity_image",
        "labels",
        "mask",
        "masks",
        "num_threads",
        "num_workers",
        "out",
        "parent",
        "reference_mask",
        "moving_mask",
        "tree_traverser",
        "workers",
    }
)
"""Arguments that stay at their default: arrays beside the image, and what is no wish of anybody."""

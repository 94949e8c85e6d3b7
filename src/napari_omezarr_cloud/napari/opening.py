"""From a link to layers in a window: metadata first, first pixels asked for, then the layers."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_omezarr_cloud.api import Image, open_all_async, understand
from napari_omezarr_cloud.errors import AccessRefusedError, CloudError, MetadataError
from napari_omezarr_cloud.napari import preferences, recent, wiring
from napari_omezarr_cloud.napari.asker import Asker, who_asks
from napari_omezarr_cloud.napari.background import (
    is_event_loop_running,
    is_window_served,
    wait_for,
)
from napari_omezarr_cloud.napari.choosing import chooser_for, is_to_be_chosen
from napari_omezarr_cloud.napari.image_layers import (
    expect_layers,
    hidden_until,
    image_layers,
    label_layers,
    tell_about,
)
from napari_omezarr_cloud.napari.kept_look import tell_kept
from napari_omezarr_cloud.napari.late_labels import labels_later, labels_of_wells, note_later
from napari_omezarr_cloud.napari.layer_data import METADATA_KEY, LayerData
from napari_omezarr_cloud.napari.link_view import dressed, go_there_with
from napari_omezarr_cloud.napari.notices import tell_error, tell_notes, tell_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_omezarr_cloud.links import Link

__all__ = [
    "MOST_BESIDE",
    "NO_LAYERS",
    "can_choose",
    "left_out",
    "open_layers",
    "progress_of",
    "read_link",
]

MOST_BESIDE = 16
"""Images of one link: what a table lists by the hundred is no window full of layers."""

NO_LAYERS: list[Any] = [(None,)]
"""What npe2 takes for "read, and nothing to add": the layers are added by ourselves, or not."""


def read_link(link: str) -> list[Any]:
    """Open a link for npe2: `open_layers`, with what fails told in the way of the one who asked.

    A script gets an exception. Someone at the window gets a sentence, and napari nothing to add:
    an exception there would become a dialog that offers other readers for a server that does not
    answer. Where access is refused, the sentence stands in the dialog that asks how to get in.

    Raises
    ------
    CloudError
        With what failed, where and why.
    concurrent.futures.CancelledError
        If the person cancelled.
    """
    asker = who_asks()
    if not asker.is_by_hand:
        return open_layers(link)
    try:
        return open_layers(link)
    except CancelledError:
        return NO_LAYERS
    except AccessRefusedError as error:
        from napari_omezarr_cloud.napari.open_url import show_refused

        show_refused(asker.viewer, understand(link), error)
        return NO_LAYERS
    except CloudError as error:
        tell_error(error)
        if isinstance(error, MetadataError) and _can_ask_others(asker, link):
            raise  # something is there, and it is not for us: napari asks who else shall try
        return NO_LAYERS


def _can_ask_others(asker: Asker, link: str) -> bool:
    """Tell whether napari would offer another reader, without showing a secret in doing so."""
    from npe2 import PluginManager

    if asker.plugin is not None:
        return False
    found = understand(link)
    if found.viewer or any(each.location.has_secret for each in found.sources):
        return False
    readers = PluginManager.instance().iter_compatible_readers([link])
    return any(reader.plugin_name != preferences.PLUGIN for reader in readers)


def open_layers(link: str, *, rgb: bool | None = None) -> list[Any]:
    """Open a link and return its layers for whoever asks napari for them.

    Parameters
    ----------
    link
        A link, also that of another viewer, or a local path.
    rgb
        As for `to_layers`.

    Returns
    -------
    list of (data, attributes, layer type)
        Or `NO_LAYERS`, where they were added here already.

    Raises
    ------
    CloudError
        With what failed, where and why.
    concurrent.futures.CancelledError
        If the person cancelled.
    """
    asker, found = who_asks(), understand(link)
    number, image, beside, found = _open_all(found)
    location = found.sources[number].location
    viewer = asker.viewer

    def own_layers(each: Image, number: int) -> list[LayerData]:
        as_labels = found.sources[number].is_labels
        return dressed(image_layers(each, rgb=rgb, as_labels=as_labels), found.view, number)

    if not asker.has_window:
        # For nobody, or for a viewer without a canvas: plain layers, visible and complete. Should
        # they come to a window later, they are found there.
        wiring.attach_all()
        layers = [
            layer
            for each, is_shown in _all_of(image)
            for layer in _shown(is_shown, (*own_layers(each, number), *label_layers(each)))
        ]
        layers += [layer for other, each in beside for layer in own_layers(each, other)]
        return _handed_over(asker, layers, found)
    if not wiring.is_open(viewer):
        return NO_LAYERS  # closed while we waited
    images = _chosen(image) if asker.is_by_hand and can_choose(image) else _all_of(image)
    if not wiring.is_open(viewer):
        return NO_LAYERS
    wiring.attach(viewer)
    layers = []
    for each, is_shown in images:
        own = _shown(is_shown, own_layers(each, number))
        if found.view is None:
            expect_layers(each, own, viewer)
        layers += own
    for other, each in beside:
        layers += own_layers(each, other)
    for each, is_shown in images:
        if is_event_loop_running():
            labels_later(viewer, each)
        else:
            layers += _shown(is_shown, label_layers(each))
        labels_of_wells(viewer, each)
        note_later(viewer, each, aloud=asker.is_by_hand)
    if found.view is not None:
        go_there_with(viewer, found.view, len(layers))
    for each, _ in images:
        if asker.is_by_hand:
            tell_about(viewer, each)
        else:
            tell_kept(viewer, each)
    if asker.is_by_hand:
        tell_notes(found.viewer, found.notes)
    if location.kind != "file":
        recent.remember(found)
    until = wiring.HIDDEN_UNTIL_ADOPTED if found.view is None else wiring.HIDDEN_UNTIL_PLACED
    return _handed_over(asker, [hidden_until(layer, until) for layer in layers], found)


def _open_all(link: Link) -> tuple[int, Image, list[tuple[int, Image]], Link]:
    """Look up what a link shows and open it all, waiting politely.

    Returns
    -------
    number : int
        Of the source that is the first to be open.
    first : Image
    beside : list of (int, Image)
        The others, with the numbers of their sources. What cannot be opened is told.
    link : Link
        With its sources known.

    Raises
    ------
    CloudError
        If nothing of it can be opened.
    concurrent.futures.CancelledError
        If the person cancelled.
    """
    link, futures = wait_for(open_all_async(link, most=MOST_BESIDE), progress_of(link))
    images: list[tuple[int, Image]] = []
    errors: list[CloudError] = []
    try:
        for number, future in enumerate(futures):
            try:
                place = link.sources[number].location
                images.append((number, wait_for(future, f"Opening {place}")))
            except CloudError as error:
                errors.append(error)
    except CancelledError:
        for future in futures:
            future.cancel()
        raise
    if not images:
        raise errors[0]
    for sentence in (*map(str, errors), *left_out(link)):
        tell_warning(sentence)
    (number, first), *beside = images
    return number, first, beside, link


def progress_of(link: Link) -> str:
    """Return what is being done for a link, in words and without secrets."""
    if link.lookup is not None and not link.sources:
        return f"{link.viewer}: asking {link.lookup.location} for {link.lookup.reason}"
    others = len(link.sources) - 1
    more = f" and {others} more image{'s' if others > 1 else ''}" if others else ""
    return f"Opening {link.sources[0].location}{more}"


def left_out(link: Link) -> list[str]:
    """Return what to say of a link's images beyond those that are opened."""
    left = len(link.sources) - MOST_BESIDE
    if left <= 0:
        return []
    return [f"{left} more images of the link are not opened: at most {MOST_BESIDE} are."]


_MOST_AT_ONCE = 8
"""A script gets the layers of all images of a series of up to so many, and of the first of more."""


def _all_of(image: Image) -> list[tuple[Image, bool]]:
    """Return what a link leads to without asking: images, and whether they are shown.

    Those of a scene lie beside each other. Those of a series would cover each other, so all but the
    first are hidden; of a long series, and of several multiscales, there is only the first.
    """
    shown = [(each, True) for each in (image, *image.together)]
    others = [entry for entry in image.series if entry.path and entry.location != image.location]
    if image.together or len(others) >= _MOST_AT_ONCE:
        return shown
    opening = [entry.open_async() for entry in others]
    for future, entry in zip(opening, others, strict=True):
        try:
            shown.append((wait_for(future, f"Opening {entry.location}"), False))
        except CloudError as error:
            tell_warning(str(error))
    return shown


def can_choose(image: Image) -> bool:
    """Tell whether there is something to choose, and a window to ask in."""
    return is_to_be_chosen(image) and is_window_served()


def _chosen(image: Image) -> list[tuple[Image, bool]]:
    """Ask a person which images of a series to open, and wait for them.

    Raises
    ------
    concurrent.futures.CancelledError
        If the person wants none.
    CloudError
        If the only one that was chosen cannot be opened; of several, the others are shown.
    """
    dialog = chooser_for(image, QApplication.activeWindow())
    try:
        if not dialog.exec():
            raise CancelledError
        entries = [image.series[number] for number in dialog.chosen]
    finally:
        dialog.deleteLater()
    opening = [entry.open_async() for entry in entries]
    images = []
    for future, entry in zip(opening, entries, strict=True):
        try:
            opened = wait_for(future, f"Opening {entry.location}")
        except CloudError as error:
            if len(entries) == 1:
                raise
            tell_error(error)
        else:
            images += [(each, True) for each in (opened, *opened.together)]
    return images


def _shown(is_shown: bool, layers: Sequence[LayerData]) -> list[LayerData]:
    if is_shown:
        return list(layers)
    return [(data, {**attributes, "visible": False}, kind) for data, attributes, kind in layers]


def _handed_over(asker: Asker, layers: list[LayerData], link: Link) -> list[Any]:
    """Return layers for napari to add; where that would write a secret into them, add them here.

    So are those of a viewer's link, as each comes from a place of its own.
    """
    location = link.sources[0].location
    if asker.viewer is None or not (location.has_secret or link.viewer):
        return layers
    for data, attributes, kind in layers:
        about = attributes.get("metadata", {}).get(METADATA_KEY, {})
        given = [(data, {**attributes, **asker.overrides}, kind)]
        wiring.add_layers(asker.viewer, given, source=about.get("source", str(location)))
    if asker.is_by_hand:
        # The chooser remembers its choice when the reader has returned.
        QTimer.singleShot(0, preferences.forget_signed_patterns)
    return NO_LAYERS

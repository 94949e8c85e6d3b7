"""What the menu entries and keys do, for the viewer in front."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

__all__ = [
    "auto_contrast_visible",
    "bind_keys",
    "download",
    "extract",
    "keep_offline",
    "open_url_dialog",
    "place_access_dialog",
    "retry_failed",
    "run_whole",
    "settings_dialog",
    "show_box",
    "show_whole_volume",
    "toggle_source",
    "wipe",
]


def open_url_dialog() -> None:
    """Show the *Open URL* dialog of the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        bind_keys(viewer)
        _show_open_url(viewer)


def bind_keys(viewer: Any) -> None:
    """Bind our keys in a viewer, unless the person has given them another meaning.

    napari ignores the keys of a manifest, so they work once something of ours was used in the
    viewer: an image opened, a widget shown, or the menu entry itself chosen.
    """
    for key, action in _KEYS.items():
        with suppress(ValueError):  # taken, perhaps by ourselves
            viewer.bind_key(key, action)


def _show_open_url(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.open_url import show_dialog

    show_dialog(viewer)


def _toggle_source(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.compare import toggle

    toggle(viewer)


def _wipe(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.compare import switch_wipe

    switch_wipe(viewer)


def _extract(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.extract import extract_now

    extract_now(viewer)


def _show_box(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.box_view import show_box_now

    show_box_now(viewer)


def _show_whole_volume(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.box_view import show_whole_volume as show_whole

    show_whole(viewer)


_KEYS = {
    "Alt-U": _show_open_url,
    "Q": _toggle_source,
    "Shift-Q": _wipe,
    "Alt-X": _extract,
    "Alt-B": _show_box,
    "Alt-Shift-B": _show_whole_volume,
}
"""None of them means anything to napari 0.9, in any kind of layer."""


def auto_contrast_visible() -> None:
    """Set contrast from what is visible, in the viewer in front.

    Of the selected image layers; where none is selected, of all that are shown.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.auto_contrast import contrast_of_visible

        contrast_of_visible(viewer)


def retry_failed() -> None:
    """Ask again for what could not be read, in the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.adoption import retry

        retry(viewer.layers)


def settings_dialog() -> None:
    """Show the settings, over the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.widgets.settings_dialog import show_settings

        show_settings(viewer)


def keep_offline() -> None:
    """Show what can be kept for offline use, over the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.widgets.offline_dialog import show_offline

        show_offline(viewer)


def run_whole() -> None:
    """Show what runs a live layer on the whole image, over the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.widgets.run_dialog import show_run

        show_run(viewer)


def place_access_dialog() -> None:
    """Show how one gets into the selected layer's place, over the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.place_access import show_access

        show_access(viewer)


def download() -> None:
    """Show what can be downloaded, over the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_omezarr_cloud.napari.widgets.download_dialog import show_download

        show_download(viewer)


def toggle_source() -> None:
    """Show the source instead of the selected result, or go back, in the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        bind_keys(viewer)
        _toggle_source(viewer)


def wipe() -> None:
    """Begin or end the wipe of the selected result and its source, in the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        bind_keys(viewer)
        _wipe(viewer)


def extract() -> None:
    """Copy what is in view into ordinary layers, in the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        bind_keys(viewer)
        _extract(viewer)


def show_box() -> None:
    """Show the box in view at full resolution, in the viewer in front; in 3-D."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        bind_keys(viewer)
        _show_box(viewer)


def show_whole_volume() -> None:
    """Show all of the volumes again, in the viewer in front."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        bind_keys(viewer)
        _show_whole_volume(viewer)

"""What the menu entries and keys do, for the viewer in front."""

from __future__ import annotations

from typing import Any

__all__ = ["auto_contrast_visible", "bind_keys", "open_url_dialog", "retry_failed"]

_OPEN_URL_KEY = "Alt-U"


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
    try:
        viewer.bind_key(_OPEN_URL_KEY, _show_open_url)
    except ValueError:  # taken, perhaps by ourselves
        return


def _show_open_url(viewer: Any) -> None:
    from napari_omezarr_cloud.napari.open_url import show_dialog

    show_dialog(viewer)


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
        from napari_omezarr_cloud.napari.display import retry

        retry(viewer.layers)

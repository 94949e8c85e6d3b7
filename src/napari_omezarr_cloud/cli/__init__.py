"""The verbs in the shell: ``omezarr open``, ``omezarr info``; the same words as in Python."""

from napari_omezarr_cloud.cli.main import main

__all__ = ["main"]

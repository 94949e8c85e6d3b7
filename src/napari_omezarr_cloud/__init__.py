"""Open, show and process OME-Zarr of any size where it lies, without downloading it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_omezarr_cloud.access import (
        AccessTrial,
        PlaceAccess,
        forget_access,
        known_access,
        set_access,
        try_access,
    )
    from napari_omezarr_cloud.api import (
        Derived,
        Image,
        Labels,
        Level,
        SeriesEntry,
        apply,
        from_array,
        open,
        open_async,
    )
    from napari_omezarr_cloud.downloading import (
        DownloadPlan,
        DownloadProgress,
        download,
        plan_download,
    )
    from napari_omezarr_cloud.errors import CloudError
    from napari_omezarr_cloud.extracting import extract, plan_extract
    from napari_omezarr_cloud.measuring import measure, plan_measure
    from napari_omezarr_cloud.napari.box_view import show_full_resolution, show_whole_volume
    from napari_omezarr_cloud.napari.layer_data import LayerData, to_layers
    from napari_omezarr_cloud.napari.layer_saving import save_layers
    from napari_omezarr_cloud.napari.rendering_on_screen import rendering_on_screen
    from napari_omezarr_cloud.ngff.omero import Channel, Rendering, Window
    from napari_omezarr_cloud.offline import (
        cache_info,
        clear_cache,
        keep_offline,
        kept_offline,
        plan_offline,
        release_offline,
        set_cache,
    )
    from napari_omezarr_cloud.process import (
        Input,
        Operation,
        Parameter,
        Recipe,
        RecipeInput,
        Step,
        operations,
    )
    from napari_omezarr_cloud.process.own import operation
    from napari_omezarr_cloud.rendering import (
        RenderingPlan,
        StoredRendering,
        drop_rendering,
        keep_rendering,
        rendering_of,
        save_rendering,
        stored_rendering,
    )
    from napari_omezarr_cloud.running import plan_run, run
    from napari_omezarr_cloud.saving import plan_save, save, save_labels
    from napari_omezarr_cloud.write.save_plan import SavePlan

__all__ = [
    "AccessTrial",
    "Channel",
    "CloudError",
    "Derived",
    "DownloadPlan",
    "DownloadProgress",
    "Image",
    "Input",
    "Labels",
    "LayerData",
    "Level",
    "Operation",
    "Parameter",
    "PlaceAccess",
    "Recipe",
    "RecipeInput",
    "Rendering",
    "RenderingPlan",
    "SavePlan",
    "SeriesEntry",
    "Step",
    "StoredRendering",
    "Window",
    "apply",
    "cache_info",
    "clear_cache",
    "download",
    "drop_rendering",
    "extract",
    "forget_access",
    "from_array",
    "keep_offline",
    "keep_rendering",
    "kept_offline",
    "known_access",
    "measure",
    "open",
    "open_async",
    "operation",
    "operations",
    "plan_download",
    "plan_extract",
    "plan_measure",
    "plan_offline",
    "plan_run",
    "plan_save",
    "release_offline",
    "rendering_of",
    "rendering_on_screen",
    "run",
    "save",
    "save_labels",
    "save_layers",
    "save_rendering",
    "set_access",
    "set_cache",
    "show_full_resolution",
    "show_whole_volume",
    "stored_rendering",
    "to_layers",
    "try_access",
]

_HOMES = {
    "AccessTrial": "access",
    "Channel": "ngff.omero",
    "CloudError": "errors",
    "DownloadPlan": "downloading",
    "DownloadProgress": "downloading",
    "Input": "process",
    "LayerData": "napari.layer_data",
    "Operation": "process",
    "Parameter": "process",
    "PlaceAccess": "access",
    "Recipe": "process",
    "RecipeInput": "process",
    "Rendering": "ngff.omero",
    "RenderingPlan": "rendering",
    "SavePlan": "write.save_plan",
    "Step": "process",
    "StoredRendering": "rendering",
    "Window": "ngff.omero",
    "cache_info": "offline",
    "clear_cache": "offline",
    "download": "downloading",
    "drop_rendering": "rendering",
    "extract": "extracting",
    "forget_access": "access",
    "keep_offline": "offline",
    "keep_rendering": "rendering",
    "kept_offline": "offline",
    "known_access": "access",
    "measure": "measuring",
    "operation": "process.own",
    "operations": "process",
    "plan_download": "downloading",
    "plan_extract": "extracting",
    "plan_measure": "measuring",
    "plan_offline": "offline",
    "plan_run": "running",
    "plan_save": "saving",
    "release_offline": "offline",
    "rendering_of": "rendering",
    "rendering_on_screen": "napari.rendering_on_screen",
    "run": "running",
    "save": "saving",
    "save_labels": "saving",
    "save_layers": "napari.layer_saving",
    "save_rendering": "rendering",
    "set_access": "access",
    "set_cache": "offline",
    "show_full_resolution": "napari.box_view",
    "show_whole_volume": "napari.box_view",
    "stored_rendering": "rendering",
    "to_layers": "napari.layer_data",
    "try_access": "access",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `omezarr --help` and napari's start must not wait for zarr and dask.
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'api')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

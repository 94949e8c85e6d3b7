"""Links as people paste them, and what they lead to."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from napari_omezarr_cloud.errors import LinkError
from napari_omezarr_cloud.links import (
    Camera,
    ChannelView,
    Link,
    Place,
    View,
    Zoom,
    is_of_a_viewer,
    read_link,
)

PLATY = "https://s3.embl.de/i2k-2020/platy-raw.ome.zarr"
IDR = "https://livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0062A/6001240.zarr"


def read(text: str) -> Link:
    """Read without what this computer's environment holds."""
    return read_link(text, environ={})


def neuroglancer(state: dict[str, Any], host: str = "neuroglancer-demo.appspot.com") -> str:
    return f"https://{host}/#!{quote(json.dumps(state))}"


TRAINING = neuroglancer(
    {
        "dimensions": {"x": [1e-8, "m"], "y": [1e-8, "m"], "z": [2.5e-8, "m"]},
        "position": [5662.0, 12928.8, 13235.8],
        "crossSectionScale": 81.3,
        "layers": [
            {
                "type": "image",
                "source": f"zarr://{PLATY}",
                "localDimensions": {"c'": [1, ""]},
                "localPosition": [0],
                "shaderControls": {"normalized": {"range": [10, 200]}},
                "name": "platy-raw.ome.zarr",
            }
        ],
        "layout": "4panel",
    }
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(TRAINING, PLATY, id="neuroglancer"),
        pytest.param(
            "https://neuroglancer-demo.appspot.com/#!"
            '{"layers":[{"name":"image","type":"auto","source":"https://livingobjects.ebi.ac.uk/'
            'idr/zarr/v0.4/idr0079A/idr0079_images.zarr/0"}],"layout":"4panel-alt"}',
            "https://livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0079A/idr0079_images.zarr/0",
            id="neuroglancer, unencoded and without a format",
        ),
        pytest.param(
            neuroglancer(
                {
                    "layers": [
                        {
                            "source": "https://public.czbiohub.org/royerlab/zebrahub/imaging/"
                            "single-objective/ZSNS001.ome.zarr/|zarr2:"
                        }
                    ]
                }
            ),
            "https://public.czbiohub.org/royerlab/zebrahub/imaging/single-objective/"
            "ZSNS001.ome.zarr",
            id="neuroglancer, pipeline",
        ),
        pytest.param(
            neuroglancer(
                {
                    "layers": [
                        {"source": "https://static.webknossos.org/misc/6001240.ozx|zip:|zarr3:"}
                    ]
                }
            ),
            "https://static.webknossos.org/misc/6001240.ozx",
            id="neuroglancer, zip",
        ),
        pytest.param(
            "https://ng.lab.org/v/#!{'layers':{'image':{'type':'image'_'source':'zarr://"
            "https://h.org/a_b.zarr'}}_'layout':'xy'}",
            "https://h.org/a_b.zarr",
            id="neuroglancer, old notation",
        ),
        pytest.param(
            neuroglancer({"layers": [{"source": {"url": "zarr2://gs://b/k.zarr/"}}]}),
            "gs://b/k.zarr",
            id="neuroglancer, source as an object",
        ),
        pytest.param(
            f"https://hms-dbmi.github.io/vizarr/?source={PLATY}", PLATY, id="vizarr, unencoded"
        ),
        pytest.param(
            f"https://hms-dbmi.github.io/vizarr?source={quote(PLATY, safe='')}", PLATY, id="vizarr"
        ),
        pytest.param(
            f"https://biongff.github.io/vizarr/?source={PLATY}", PLATY, id="BioNGFF vizarr"
        ),
        pytest.param(
            f"https://biongff.github.io/biongff-viewer/?source={PLATY}", PLATY, id="BioNGFF"
        ),
        pytest.param(
            f"https://ome.github.io/ome-ngff-validator/?source={IDR}&schemas=https://x.org/s",
            IDR,
            id="validator",
        ),
        pytest.param(
            "https://deploy-preview-7--ome-ngff-validator.netlify.app/?source="
            f"https://corsproxy.io/?{IDR}",
            IDR,
            id="validator behind a proxy",
        ),
        pytest.param(
            f"https://kitware.github.io/itk-vtk-viewer/app/?fileToLoad={IDR}", IDR, id="itk-vtk"
        ),
        pytest.param(f"https://avivator.gehlenborglab.org/?image_url={IDR}", IDR, id="Avivator"),
        pytest.param(f"http://avivator.gehlenborglab.org?image_url={IDR}", IDR, id="old Avivator"),
        pytest.param(
            f"https://vole.allencell.org/viewer?url={quote(IDR, safe='')}", IDR, id="Vol-E"
        ),
        pytest.param(
            f"https://allen-cell-animated.github.io/website-3d-cell-viewer/?url={IDR}",
            IDR,
            id="old Vol-E",
        ),
        pytest.param(
            "https://data.webknossos.org/data/zarr/org/dataset/color",
            "https://data.webknossos.org/data/zarr/org/dataset/color",
            id="webKnossos Zarr link",
        ),
        pytest.param(
            "https://uk1s3.embassy.ebi.ac.uk/bia-integrator-data/pages/S-BIAD144/IM1.html",
            "https://uk1s3.embassy.ebi.ac.uk/bia-integrator-data/S-BIAD144/IM1/IM1.zarr/0",
            id="BIA page",
        ),
        pytest.param(
            "https://bioimaging-01-pub.livingobjects.ebi.ac.uk/S-BIAD1/a.zarr",
            "https://bioimaging-01-pub.livingobjects.ebi.ac.uk/S-BIAD1/a.zarr",
            id="EBI virtual host",
        ),
        pytest.param(
            "s3://s3.embl.de/i2k-2020/platy-raw.ome.zarr",
            "s3://i2k-2020/platy-raw.ome.zarr?endpoint=https://s3.embl.de",
            id="OMERO ExternalInfo",
        ),
        pytest.param("zarr://s3://bucket/key", "s3://bucket/key", id="N5 scheme"),
        pytest.param("ZARR3:/data/a.zarr", "/data/a.zarr", id="N5 scheme of a path"),
        pytest.param(
            "zarr://https://h.org/c.zarr?/em/fibsem#multiscales",
            "https://h.org/c.zarr/em/fibsem",
            id="N5 group",
        ),
        pytest.param(
            "https://h.org/c.zarr?/em/fibsem#multiscales",
            "https://h.org/c.zarr/em/fibsem",
            id="N5 group without a scheme",
        ),
        pytest.param(
            f"zarr2://{PLATY}?dimension_separator=/", PLATY, id="neuroglancer's own option"
        ),
        pytest.param("s3://b/data.zip|zip:|zarr3:", "s3://b/data.zip", id="pipeline"),
        pytest.param(
            "s3://b/data.zip%7Czip:in%20it/%7Czarr3:", "s3://b/data.zip/in%20it", id="%7C"
        ),
        pytest.param("gs+xml://b/k|zarr2:a/", "gs://b/k/a", id="gs+xml"),
        pytest.param("zip::https://h.org/a.zarr.zip", "https://h.org/a.zarr.zip", id="fsspec zip"),
        pytest.param("zip://a.zarr::s3://b/k.zip", "s3://b/k.zip/a.zarr", id="inside of fsspec"),
        pytest.param("simplecache::s3://b/k.zarr", "s3://b/k.zarr", id="fsspec cache"),
        pytest.param(
            "https://github.com/o/r/tree/main/data/a.zarr",
            "https://raw.githubusercontent.com/o/r/main/data/a.zarr",
            id="GitHub tree",
        ),
        pytest.param(
            "https://zenodo.org/records/123/files/a.zarr.zip?download=1",
            "https://zenodo.org/records/123/files/a.zarr.zip",
            id="Zenodo file",
        ),
        pytest.param(
            "https://api.dandiarchive.org/api/zarr/1a48c9e8-0a2b-4b3c-8d4e-5f6071829304/",
            "s3://dandiarchive/zarr/1a48c9e8-0a2b-4b3c-8d4e-5f6071829304",
            id="DANDI API",
        ),
        pytest.param(
            "https://dandiarchive.s3.amazonaws.com/zarr/1a48c9e8-0a2b-4b3c-8d4e-5f6071829304/",
            "s3://dandiarchive/zarr/1a48c9e8-0a2b-4b3c-8d4e-5f6071829304",
            id="DANDI bucket",
        ),
        pytest.param(
            "https://us-west-2.console.aws.amazon.com/s3/buckets/b-c?prefix=k/a%20b.zarr/&tab=objects",
            "s3://b-c/k/a%20b.zarr?region=us-west-2",
            id="Amazon's console",
        ),
        pytest.param(
            "https://s3.console.aws.amazon.com/s3/buckets/b-c?region=eu-west-1&prefix=a.zarr/",
            "s3://b-c/a.zarr?region=eu-west-1",
            id="Amazon's console with its region as a parameter",
        ),
        pytest.param(
            "https://console.cloud.google.com/storage/browser/b-c/k/a.zarr;tab=objects?project=p",
            "gs://b-c/k/a.zarr",
            id="Google's console",
        ),
        pytest.param(
            "https://kitware.github.io/itk-vtk-viewer/app/?fileToLoad=https://uk1s3.embassy.ebi.ac.uk"
            "/bia-integrator-data/S-BSST410/IM2/IM2.zarr/0",
            "https://uk1s3.embassy.ebi.ac.uk/bia-integrator-data/S-BSST410/IM2/IM2.zarr/0",
            id="itk-vtk-viewer of the training",
        ),
        pytest.param(
            "https://hms-dbmi.github.io/vizarr/?source=https://uk1s3.embassy.ebi.ac.uk"
            "/bia-integrator-data/S-BSST410/IM2/IM2.zarr",
            "https://uk1s3.embassy.ebi.ac.uk/bia-integrator-data/S-BSST410/IM2/IM2.zarr",
            id="vizarr of the training",
        ),
        pytest.param("middleauth+https://h.org/a.zarr|zarr2:", "https://h.org/a.zarr", id="auth"),
        pytest.param("gs+ngauth+https://h.org/b/p", "https://h.org/b/p", id="ngauth"),
        pytest.param(
            "s3+https://host.org/bucket/p|zarr2:#dimension_separator=/",
            "s3://bucket/p?endpoint=https://host.org",
            id="pipeline with an option, on an S3 server",
        ),
        pytest.param(
            "file:///d/outer.zip|zip:inner.zip|zip:data.zarr",
            "/d/outer.zip/inner.zip/data.zarr",
            id="zip in a zip",
        ),
        pytest.param(f"{IDR}/ro-crate-metadata.json", IDR, id="RO-Crate"),
        pytest.param(f" <{IDR}/> ", IDR, id="a plain link"),
    ],
)
def test_the_link_leads_to_the_image(text: str, shown: str) -> None:
    link = read(text)
    assert [str(source.location) for source in link.sources] == [shown]


def test_a_neuroglancer_view_is_at_its_place_in_metres() -> None:
    view = read(TRAINING).view
    assert view is not None
    assert {place.axis: pytest.approx(place.value) for place in view.places} == {
        "x": 5662.0e-8,
        "y": 12928.8e-8,
        "z": 13235.8 * 2.5e-8,
    }
    assert {place.unit for place in view.places} == {"meter"}
    assert view.zoom == Zoom(pytest.approx(81.3e-8), "meter")
    assert view.channels == (ChannelView(0, 0, window=(10, 200)),)
    assert view.layout == "2d"


def test_neuroglancer_layers_of_one_image_are_its_channels_and_segmentations_are_labels() -> None:
    shader = '#uicontrol vec3 hue color(default="red")\nvoid main() {}'
    source = f"{IDR}/|zarr2:"
    link = read(
        neuroglancer(
            {
                "layers": [
                    {"name": "a", "source": source, "shader": shader, "visible": False},
                    {
                        "name": "b",
                        "source": source,
                        "localDimensions": {"c'": [1, ""]},
                        "localPosition": [1],
                        "shaderControls": {"color": "#00ff7f", "normalized": [0, 1]},
                    },
                    {"name": "cells", "type": "segmentation", "source": f"{IDR}/labels/0"},
                    {"name": "points", "type": "annotation", "source": "local://annotations"},
                    {"name": "em", "type": "image", "source": "precomputed://gs://b/em"},
                ],
                "position": [10.5, 20.5, 3.5],
                "projectionScale": 512,
                "layout": {"type": "3d"},
            }
        )
    )
    assert [(str(s.location), s.is_labels) for s in link.sources] == [
        (IDR, False),
        (f"{IDR}/labels/0", True),
    ]
    assert link.view is not None
    assert link.view.channels == (
        ChannelView(0, None, "#FF0000", visible=False),
        ChannelView(0, 1, "#00FF7F", (0, 1)),
        ChannelView(1),
    )
    assert [channel.name for channel in link.view.channels] == ["a", "b", "cells"]
    assert link.view.layout == "3d"
    assert link.view.zoom == Zoom(512, "index", "height")
    assert link.view.places == (
        Place("x", 10.5, "step"),
        Place("y", 20.5, "step"),
        Place("z", 3.5, "step"),
    )
    assert any("'points'" in note for note in link.notes)
    assert any("'em'" in note and "precomputed" in note for note in link.notes)


def test_opacity_and_blending_of_neuroglancer_layers_are_followed() -> None:
    layers = [
        {"source": IDR, "opacity": 0.25, "blend": "additive"},
        {"source": PLATY, "type": "segmentation", "selectedAlpha": 7, "segments": ["3"]},
    ]
    link = read(neuroglancer({"layers": layers}))
    assert link.view is not None
    assert link.view.channels == (
        ChannelView(0, opacity=0.25, is_additive=True),
        ChannelView(1, opacity=1.0),
    )
    assert any("All segments" in note for note in link.notes)


def test_one_neuroglancer_layer_may_show_several_channels() -> None:
    shader = (
        "#uicontrol invlerp first(range=[10, 20], channel=0)\n"
        '#uicontrol vec3 hue1 color(default="red")\n'
        "#uicontrol invlerp second(channel=[2])\n"
        '#uicontrol vec3 hue2 color(default="#00f")\n'
        "void main() {}"
    )
    controls = {"second": {"range": [5, 6], "window": [0, 9]}, "hue2": "lime"}
    layer = {"source": IDR, "shader": shader, "shaderControls": controls}
    link = read(neuroglancer({"layers": [layer]}))
    assert link.view is not None
    assert link.view.channels == (
        ChannelView(0, 0, "#FF0000", (10, 20)),
        ChannelView(0, 2, "#00FF00", (5, 6)),
    )


def neuroglancer_view(**state: Any) -> View:
    view = read(neuroglancer({"layers": [{"source": IDR}], **state})).view
    assert view is not None
    return view


def test_a_neuroglancer_volume_is_looked_at_from_the_same_side() -> None:
    upright = neuroglancer_view(layout="3d").camera
    assert upright == Camera(("x", "y", "z"), (0, 0, 1), (0, -1, 0))
    half = 0.5**0.5
    # A quarter of a turn about y: the view goes along x.
    aside = neuroglancer_view(layout="3d", projectionOrientation=[0, half, 0, half]).camera
    assert aside is not None
    assert aside.forward == pytest.approx((1, 0, 0))
    assert aside.up == pytest.approx((0, -1, 0))
    # A quarter of a turn about the line of sight, twice as long as a unit quaternion.
    turned = neuroglancer_view(layout="3d", projectionOrientation=[0, 0, 1, 1]).camera
    assert turned is not None
    assert turned.forward == pytest.approx((0, 0, 1))
    assert turned.up == pytest.approx((1, 0, 0))


@pytest.mark.parametrize("turn", [[0, 0, 0, 0], ["a", 1, 2], [1e-20, 0, 0, None], "up", [1] * 5])
def test_an_orientation_that_is_none_is_upright(turn: Any) -> None:
    camera = neuroglancer_view(layout="3d", projectionOrientation=turn).camera
    assert camera is not None
    assert camera.forward == (0, 0, 1)


@pytest.mark.parametrize(
    ("layout", "shown", "plane"),
    [
        ("4panel", "2d", None),
        ("4panel-alt", "2d", None),
        ("xy", "2d", ("y", "x")),
        ("xz-3d", "2d", ("z", "x")),
        ("yz", "2d", ("y", "z")),
        ("3d", "3d", None),
        ({"type": "3d", "orthographicProjection": True}, "3d", None),
        (
            {"type": "row", "children": [{"type": "viewer", "layout": "xz"}, {"layout": "3d"}]},
            "2d",
            ("z", "x"),
        ),
    ],
)
def test_the_layout_of_neuroglancer_is_followed(layout: Any, shown: str, plane: Any) -> None:
    view = neuroglancer_view(layout=layout)
    assert (view.layout, view.plane) == (shown, plane)


def test_what_of_a_neuroglancer_view_is_not_followed_is_said() -> None:
    moved = {"url": IDR, "transform": {"matrix": [[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0]]}}
    at_rest = {"url": PLATY, "transform": {"outputDimensions": {"x": [1e-9, "m"]}}}
    layers = [{"name": "a", "source": moved}, {"name": "b", "source": at_rest}]
    link = read(neuroglancer({"layers": layers, "crossSectionOrientation": [0.1, 0, 0, 0.99]}))
    assert [note for note in link.notes if "transform" in note] == [
        "The layer 'a' has a transform of its own, which is not followed."
    ]
    assert any("oblique; it is shown upright" in note for note in link.notes)


def test_a_neuroglancer_view_from_before_2020_is_understood() -> None:
    link = read(
        neuroglancer(
            {
                "layers": {"image": {"type": "image", "source": f"zarr://{PLATY}"}},
                "navigation": {
                    "pose": {
                        "position": {"voxelSize": [8, 8, 30], "voxelCoordinates": [100, 200, 10]}
                    },
                    "zoomFactor": 64,
                },
                "layout": "xz",
            }
        )
    )
    assert link.view is not None
    assert [p.value for p in link.view.places] == pytest.approx([800e-9, 1600e-9, 300e-9])
    assert link.view.zoom == Zoom(pytest.approx(64e-9), "meter")
    assert link.view.plane == ("z", "x")


def test_a_view_without_units_counts_as_the_file_does() -> None:
    link = read(
        neuroglancer(
            {
                "dimensions": {"t": [1, ""], "y": [0.5, ""], "x": [0.5, ""]},
                "position": [3, 100, 200],
                "crossSectionScale": 2,
                "layers": [{"source": PLATY}],
            }
        )
    )
    assert link.view is not None
    assert link.view.places == (Place("t", 3, ""), Place("y", 50, ""), Place("x", 100, ""))
    assert link.view.zoom == Zoom(1.0, "")


def test_vizarr_keeps_place_and_colour() -> None:
    state = quote('{"zoom":-3,"target":[1024,512,0]}')
    link = read(
        f"https://hms-dbmi.github.io/vizarr/?source={IDR}&colormap=%2300FFFF&viewState={state}"
    )
    assert str(link.sources[0].location) == IDR
    assert link.view is not None
    assert link.view.places == (Place("x", 1024), Place("y", 512))
    assert link.view.zoom == Zoom(8.0)
    assert link.view.channels == (ChannelView(color="#00FFFF"),)


def test_a_token_inside_stays_in_the_location() -> None:
    link = read(
        "https://hms-dbmi.github.io/vizarr/?source=https://h.org/a.zarr?token=hush&sig=hushhush&name=n"
    )
    assert link.sources[0].location.query == "token=hush&sig=hushhush"
    assert "hush" not in str(link.sources[0].location)
    assert "hush" not in repr(link)


def test_itk_vtk_names_images_and_labels() -> None:
    link = read(
        "https://kitware.github.io/itk-vtk-viewer/app/?rotate=false&use2D"
        f"&image={IDR}&labelImage={IDR}/labels/0"
    )
    assert [(str(s.location), s.is_labels) for s in link.sources] == [
        (IDR, False),
        (f"{IDR}/labels/0", True),
    ]
    assert link.view is not None
    assert link.view.layout == "2d"
    several = read(
        f"https://kitware.github.io/itk-vtk-viewer/app/?fileToLoad={PLATY},https://h.org/a,b.zarr"
    )
    assert [str(s.location) for s in several.sources] == [PLATY, "https://h.org/a,b.zarr"]


def test_vole_says_channels_slice_and_time() -> None:
    link = read(
        f"https://vole.allencell.org/viewer?url={quote(IDR, safe='')}+{quote(PLATY, safe='')}"
        "&c0=ven:1,col:ff23cc,lut:v15:v180&c1=ven:0,lut:p50:p98&slice=0.5,0.25,0.75&t=40&view=3D"
    )
    assert [str(s.location) for s in link.sources] == [IDR, PLATY]
    view = link.view
    assert view is not None
    assert view.channels == (
        ChannelView(0, 0, "#FF23CC", (15, 180), True),
        ChannelView(0, 1, visible=False),
    )
    assert view.places == (
        Place("x", 0.5, "fraction"),
        Place("y", 0.25, "fraction"),
        Place("z", 0.75, "fraction"),
        Place("t", 40),
    )
    assert view.layout == "3d"
    assert any("not given in pixel values" in note for note in link.notes)


def test_a_vole_manifest_is_asked_for_its_scenes() -> None:
    link = read("https://vole.allencell.org/viewer?manifest=https://h.org/d/m.json&view=3D")
    assert link.lookup is not None
    assert link.view is not None
    assert link.view.layout == "3d"
    scenes = [PLATY, ["a.ome.zarr", "https://h.org/b.zarr"], "../../secret", 7]
    found = link.lookup.read(json.dumps({"scenes": scenes}))
    assert [str(s.location) for s in found.sources] == [
        PLATY,
        "https://h.org/d/a.ome.zarr",
        "https://h.org/b.zarr",
    ]
    with pytest.raises(LinkError, match="lists no image"):
        link.lookup.read('{"scenes": []}')


def test_a_webknossos_dataset_is_asked_for_and_its_place_is_kept() -> None:
    link = read(
        "https://webknossos.org/datasets/platy-i2k-2020-633e802f010000d3007f8f32/view"
        "?utm_source=wklink#15331,15581,6482,0,61.339"
    )
    assert link.lookup is not None
    assert str(link.lookup.location) == (
        "https://webknossos.org/api/datasets/633e802f010000d3007f8f32"
    )
    assert link.view is not None
    assert link.view.places == (Place("x", 15331), Place("y", 15581), Place("z", 6482))
    assert link.view.zoom == Zoom(61.339)
    record = {
        "name": "platy",
        "owningOrganization": "org",
        "dataStore": {"url": "https://data.webknossos.org"},
        "dataSource": {
            "dataLayers": [
                {
                    "name": "color",
                    "category": "color",
                    "dataFormat": "zarr",
                    "mags": [{"mag": [1, 1, 1], "path": f"{PLATY}/s0"}],
                },
                {"name": "cells", "category": "segmentation", "dataFormat": "wkw", "mags": []},
            ]
        },
    }
    answer = link.lookup.read(json.dumps(record))
    assert [(str(s.location), s.name, s.is_labels) for s in answer.sources] == [
        (PLATY, "color", False),
        ("https://data.webknossos.org/data/zarr/org/platy/cells", "cells", True),
    ]


def test_a_webknossos_token_is_not_shown() -> None:
    link = read("https://webknossos.org/datasets/a-633e802f010000d3007f8f32/view?token=hushhush")
    assert link.lookup is not None
    assert "hushhush" in link.lookup.location.query
    assert "hushhush" not in repr(link)


def test_a_webknossos_annotation_leads_to_its_dataset() -> None:
    link = read(
        "https://webknossos.org/annotations/5f0d4c6d0100004b00a3f1c2?token=hushhush#1,2,3,0,4"
    )
    assert link.lookup is not None
    assert str(link.lookup.location) == (
        "https://webknossos.org/api/annotations/5f0d4c6d0100004b00a3f1c2/info"
    )
    assert link.view is not None
    assert link.view.zoom == Zoom(4)
    new = link.lookup.read(json.dumps({"datasetId": "633e802f010000d3007f8f32"}))
    assert new.lookup is not None
    assert new.lookup.location.key == "api/datasets/633e802f010000d3007f8f32"
    assert "hushhush" in new.lookup.location.query
    assert "drawn on it" in new.notes[0]
    old = link.lookup.read(json.dumps({"organization": "o", "dataSetName": "l4 sample"}))
    assert old.lookup is not None
    assert old.lookup.location.key == "api/datasets/o/l4 sample"
    with pytest.raises(LinkError, match="names no dataset"):
        link.lookup.read("{}")


def test_a_webknossos_short_link_is_asked_where_it_leads_and_stays_there() -> None:
    link = read("https://webknossos.org/links/AbC-1")
    assert link.lookup is not None
    assert link.lookup.location.key == "api/shortLinks/byKey/AbC-1"
    page = "https://webknossos.org/datasets/a-633e802f010000d3007f8f32/view#1,2,3,0,4"
    found = link.lookup.read(json.dumps({"longLink": page}))
    assert found.lookup is not None
    assert found.view is not None
    for elsewhere in ("https://evil.org/datasets/a/b/view", "https://webknossos.org/links/x", 5):
        with pytest.raises(LinkError, match="no dataset or annotation"):
            link.lookup.read(json.dumps({"longLink": elsewhere}))


def test_what_a_service_answers_names_no_file_of_this_computer() -> None:
    stored = read("https://neuroglancer-demo.appspot.com/#!s3://bucket/state.json").lookup
    project = read("s3://bucket/d/dataset.json").lookup
    assert stored is not None
    assert project is not None
    data = {"ome.zarr": {"absolutePath": "file:///etc/a.zarr"}}
    with pytest.raises(LinkError, match="a file of this computer"):
        stored.read(json.dumps({"layers": [{"source": "file:///etc/a.zarr"}]}))
    with pytest.raises(LinkError, match="a file of this computer"):
        project.read(json.dumps({"sources": {"a": {"image": {"imageData": data}}}}))


@pytest.mark.parametrize(
    "text",
    [
        TRAINING,
        f"https://hms-dbmi.github.io/vizarr/?source={PLATY}",
        "https://webknossos.org/datasets/a-633e802f010000d3007f8f32/view#1,2,3,0,4",
        "https://www.ebi.ac.uk/biostudies/bioimages/studies/S-BIAD634",
        "s3://b/data.zip|zip:|zarr3:",
    ],
)
def test_a_link_of_a_viewer_can_be_kept(text: str) -> None:
    assert read(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "https://hms-dbmi.github.io/vizarr/?source=https://h.org/a.zarr?hush=hush",
        f"https://hms-dbmi.github.io/vizarr/?source={PLATY}&access_token=hush",
        "https://webknossos.org/datasets/a-633e802f010000d3007f8f32/view?token=hush",
        "https://neuroglancer-demo.appspot.com/#!https://h.org/state.json?x=hush",
        "https://h.org/images.csv?x=hush",
        neuroglancer({"layers": [{"source": PLATY}], "credentials": "hush"}),
        neuroglancer(
            {"layers": [{"source": PLATY}, {"source": "precomputed://https://h/?k=hush"}]}
        ),
        neuroglancer({"layers": [{"source": PLATY}, {"source": "n5://https://me:hush@h.org/a"}]}),
        neuroglancer({"layers": [{"source": PLATY, "name": "hush" * 4000}]}),
    ],
)
def test_a_link_that_may_hold_a_secret_is_not_kept(text: str) -> None:
    link = read(text)
    assert link.text == ""
    assert "hush" not in repr(link) or len(text) > 10_000


def test_an_old_webknossos_link_names_organisation_and_dataset() -> None:
    link = read("https://webknossos.org/datasets/scalable_minds/l4_sample/view#1,2,3,0,1.5")
    assert link.lookup is not None
    assert link.lookup.location.key == "api/datasets/scalable_minds/l4_sample"


def test_a_mobie_project_is_followed_to_its_images() -> None:
    link = read("https://github.com/mobie/platybrowser-project/tree/main")
    assert link.lookup is not None
    base = "https://raw.githubusercontent.com/mobie/platybrowser-project/main"
    assert str(link.lookup.location) == f"{base}/data/project.json"
    assert link.lookup.otherwise is not None
    assert str(link.lookup.otherwise.location) == f"{base}/project.json"
    project = link.lookup.read('{"datasets": ["0.0.1", "1.0.1"], "defaultDataset": "1.0.1"}')
    assert project.lookup is not None
    assert str(project.lookup.location) == f"{base}/data/1.0.1/dataset.json"
    assert "0.0.1" in project.notes[0]
    dataset = {
        "sources": {
            "raw": {"image": {"imageData": {"ome.zarr.s3": {"s3Address": PLATY}}}},
            "cells": {
                "segmentation": {"imageData": {"ome.zarr": {"relativePath": "images/c.ome.zarr"}}}
            },
            "old": {"image": {"imageData": {"bdv.n5": {"relativePath": "images/o.xml"}}}},
        }
    }
    found = project.lookup.read(json.dumps(dataset))
    assert [(str(s.location), s.name, s.is_labels) for s in found.sources] == [
        (PLATY, "raw", False),
        (f"{base}/data/1.0.1/images/c.ome.zarr", "cells", True),
    ]
    assert "old" in found.notes[0]


def test_a_mobie_project_that_leads_out_of_itself_is_not_followed() -> None:
    link = read("https://h.org/p/project.json")
    assert link.lookup is not None
    with pytest.raises(LinkError, match="names no dataset"):
        link.lookup.read('{"datasets": ["../../secret"]}')


def test_a_table_lists_images_by_their_uri() -> None:
    link = read("https://h.org/t/images.tsv")
    assert link.lookup is not None
    rows = ["uri\tname\ttype", f"{PLATY};0\traw\tintensities", "cells.ome.zarr\tc\tlabels"]
    table = "\n".join([*rows, "/etc/a.zarr\tx\t"])
    found = link.lookup.read(table)
    assert [(str(s.location), s.name, s.is_labels) for s in found.sources] == [
        (PLATY, "raw", False),
        ("https://h.org/t/cells.ome.zarr", "c", True),
    ]
    assert "1 of the table's rows" in found.notes[0]
    with pytest.raises(LinkError, match="column 'uri'"):
        link.lookup.read("a,b\n1,2\n")


def test_a_bia_study_is_asked_for() -> None:
    link = read("https://www.ebi.ac.uk/biostudies/bioimages/studies/S-BIAD634")
    assert link.lookup is not None
    assert "S-BIAD634" in link.lookup.location.to_text()
    uri = "https://livingobjects.ebi.ac.uk/bioimaging-integrator-data/S-BIAD634/a/b.ome.zarr/0"
    answer = [{"file_uri": [uri]}, {"file_uri": ["https://h.org/a.tiff"]}, {"file_uri": None}]
    assert [str(s.location) for s in link.lookup.read(json.dumps(answer)).sources] == [uri]
    with pytest.raises(LinkError, match="no OME-Zarr"):
        link.lookup.read("[]")


@pytest.mark.parametrize(
    "text",
    [
        "https://idr.openmicroscopy.org/webclient/?show=image-6001240",
        "https://idr.openmicroscopy.org/webclient/img_detail/6001240/?dataset=7754",
        "https://idr.openmicroscopy.org/iviewer/?images=6001240&dataset=7754",
    ],
)
def test_an_idr_image_is_found_in_the_shipped_table(text: str) -> None:
    link = read(text)
    assert link.lookup is None
    assert "6001240" in str(link.sources[0].location)
    assert str(link.sources[0].location).startswith("https://livingobjects.ebi.ac.uk/idr/zarr/")


def test_an_idr_plate_is_found_and_what_is_new_is_asked_for() -> None:
    plate = read("https://idr.openmicroscopy.org/webclient/?show=plate-2551")
    assert str(plate.sources[0].location).endswith("/2551.zarr")
    new = read("https://idr.openmicroscopy.org/webclient/?show=image-99999999")
    assert new.lookup is not None
    table = (
        "OME-NGFF version,File Path,Wells,Representative Image ID,Thumbnail\n"
        "0.5,https://livingobjects.ebi.ac.uk/idr/new.zarr,,99999999,\n"
    )
    found = new.lookup.read(table)
    assert str(found.sources[0].location) == "https://livingobjects.ebi.ac.uk/idr/new.zarr"
    with pytest.raises(LinkError, match="does not list image 99999999"):
        new.lookup.read("File Path\nx\n")


def test_a_zenodo_record_lists_its_zipped_zarrs() -> None:
    link = read("https://zenodo.org/records/13305156")
    assert link.lookup is not None
    files = {"files": [{"key": "a.pdf"}, {"key": "code.zip"}, {"key": "b c.zarr.zip"}]}
    found = link.lookup.read(json.dumps(files))
    assert [s.name for s in found.sources] == ["b c.zarr.zip", "code.zip"]
    assert found.sources[0].location.key == "records/13305156/files/b c.zarr.zip"


def test_a_dandi_asset_is_asked_where_its_zarr_is() -> None:
    asset = "1a48c9e8-0a2b-4b3c-8d4e-5f6071829304"
    link = read(f"https://api.dandiarchive.org/api/assets/{asset}/download/")
    assert link.lookup is not None
    urls = [
        "https://api.dandiarchive.org/x",
        f"https://dandiarchive.s3.amazonaws.com/zarr/{asset}/",
    ]
    answer = link.lookup.read(json.dumps({"contentUrl": urls, "path": "sub/a.ome.zarr"}))
    assert str(answer.sources[0].location) == f"s3://dandiarchive/zarr/{asset}"


def test_a_state_stored_elsewhere_is_asked_for() -> None:
    link = read("https://neuroglancer-demo.appspot.com/#!gs://bucket/state.json")
    assert link.lookup is not None
    assert str(link.lookup.location) == "gs://bucket/state.json"
    answer = link.lookup.read(json.dumps({"layers": [{"source": PLATY}]}))
    assert str(answer.sources[0].location) == PLATY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("s3://b/jrc.n5?/em/fibsem-uint8#multiscales", "n5"),
        ("precomputed://gs://b/k", "precomputed"),
        ("https://h.org/a|icechunk:@branch.main/", "icechunk"),
        ("https://h.org/a.zip|zip:in/|ocdbt:", "ocdbt"),
        ("https://h.org/a.gz|gzip:|zarr3:", "gzip"),
        ("https://hms-dbmi.github.io/vizarr/?source=ref://https://h.org/a.json", "'ref'"),
        ("https://hms-dbmi.github.io/vizarr/?source=ome-tiff://https://h.org/a.tif", "ome-tiff"),
        ("https://avivator.gehlenborglab.org/?image_url=https://h.org/a.ome.tiff", "TIFF"),
        (
            "https://hms-dbmi.github.io/vizarr/?source=file:///home/me/a.zarr",
            "a file of this computer",
        ),
        (neuroglancer({"layers": [{"source": "file:///etc/a.zarr"}]}), "a file of this computer"),
        (neuroglancer({"layers": [{"source": "javascript:alert(1)"}]}), "a file of this computer"),
        (neuroglancer({"layers": [{"source": "//evil/share/a.zarr"}]}), "a file of this computer"),
        ("https://omero.lab.org/webclient/?show=image-5", "OMERO server"),
        (neuroglancer({"layers": []}), "no layer"),
        ("https://neuroglancer-demo.appspot.com/#!{%22layers", "no valid JSON"),
    ],
)
def test_what_cannot_be_opened_says_why(text: str, why: str) -> None:
    with pytest.raises(LinkError, match=why):
        read(text)


def test_plain_links_are_no_viewer_links() -> None:
    assert is_of_a_viewer(TRAINING)
    assert not is_of_a_viewer(IDR)
    assert not is_of_a_viewer("https://example.org/page?source=newsletter")

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.errors import MetadataError
from napari_omezarr_cloud.ngff import check_path


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param("0", "0", id="number"),
        pytest.param("scale0/image", "scale0/image", id="nested"),
        pytest.param("cells/", "cells", id="trailing slash"),
        pytest.param("./0", "0", id="from here"),
        pytest.param("a//b", "a/b", id="doubled slash"),
        pytest.param("fewer levels #1 50% a+b", "fewer levels #1 50% a+b", id="blanks and signs"),
        pytest.param("ünïcode", "ünïcode", id="any letters"),
        pytest.param("a..b/v1.0", "a..b/v1.0", id="dots inside names"),
        pytest.param("img:0", "img:0", id="colon"),
        pytest.param("a;b/5%c0/½", "a;b/5%c0/½", id="semicolon, percent and wide signs"),
    ],
)
def test_paths_inside_are_kept(path: str, kept: str) -> None:
    assert check_path(path, where="x", key="k") == kept


@pytest.mark.parametrize(
    "path",
    [
        "../../../../../../etc/passwd",
        "../_outside/secret.zarr/0",
        "a/../../b",
        "..",
        "a/..",
        "http://evil.invalid/secret.zarr/0",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "C:/Windows",
        "C:secret",
        "./C:secret",
        "/_outside/secret.zarr/0",
        "//evil.invalid/0",
        "%2e%2e/_outside/secret.zarr/0",
        "%2E%2e%2f_outside",
        "%252e%252e/_outside",
        "a/%2e./b",
        "%2e",
        "labels/%2e",
        "%2f_outside",
        "..%5c_outside",
        "a\\..\\b",
        ".. /a",
        "..;/a",
        "a/..;b=1/..;/c",
        "%2e%2e;/a",
        "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/a",
        "\N{TWO DOT LEADER}/a",
        "%c0%ae%c0%ae/a",
        "%25C0%25AE./a",
        ".../a",
    ],
)
def test_paths_that_lead_outside_are_refused_by_name(path: str) -> None:
    with pytest.raises(MetadataError, match="path") as caught:
        check_path(path, where="x", key="k")

    assert path.replace("\\", "\\\\") in str(caught.value)


@pytest.mark.parametrize(
    "path", ["", "  ", " /", ".", "./", None, 0, ["0"], {}, "a\0b", "a\nb", "\ud800"]
)
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(MetadataError, match="path"):
        check_path(path, where="x", key="k")


def test_a_very_long_path_is_refused_in_a_short_message() -> None:
    with pytest.raises(MetadataError) as caught:
        check_path("a" * 1_000_000, where="x", key="k")

    assert len(str(caught.value)) < 1000


@given(st.lists(st.sampled_from(["..", ".", "/", "a", "%2e", "%2F", "%25", "\\", ":", " "])))
def test_whatever_is_kept_stays_below_the_group(parts: list[str]) -> None:
    try:
        kept = check_path("".join(parts), where="x", key="k")
    except MetadataError:
        return

    assert posixpath.normpath(f"/group/{kept}").startswith("/group/")
    assert posixpath.normpath(f"/group/{kept.replace('%2e', '.')}").startswith("/group/")
    assert check_path(kept, where="x", key="k") == kept

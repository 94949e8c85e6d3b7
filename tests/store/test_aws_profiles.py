"""AWS profiles: keys, server and region come from where AWS' own tools keep them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import CloudError, CredentialsError, LinkError
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store import remote
from napari_omezarr_cloud.store.place_access import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server

NAME = "v04 by ome-zarr-py.ome.zarr"

pytestmark = pytest.mark.usefixtures("no_access")


@pytest.fixture(scope="module")
def stored(s3: S3Server, ome_zarr: Callable[[str], Written]) -> S3Server:
    """An S3 server with the image ``NAME`` in its private bucket."""
    s3.put_folder(ome_zarr("v04 by ome-zarr-py").path, s3.private)
    return s3


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> Iterator[None]:
    """An AWS configuration of the test's own; afterwards the server refuses nothing."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    yield
    s3.door.fault = lambda method, path: None


def write_config(text: str) -> None:
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(text)


def test_a_profile_opens_what_its_account_may_read(
    config: None, stored: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f"aws_access_key_id={stored.access_key}\naws_secret_access_key={stored.secret_key}\n"
    write_config(
        f"[profile lab]\n{keys}endpoint_url={stored.endpoint}\n"
        f"[profile lab2]\n{keys}services=mine\n"
        f"[services mine]\ns3 =\n  endpoint_url={stored.endpoint}/\n[profile empty]\n"
    )
    link = f"s3://{stored.private}/{NAME}"

    for profile in ("lab", "lab2"):  # the profile also says at which server
        assert noc.open(link, profile=profile).levels[0].shape == (6, 96, 80)
    with pytest.raises(LinkError, match="'empty' says nothing to sign with"):
        noc.open(link, profile="empty", endpoint=stored.endpoint)
    with pytest.raises(LinkError, match="There are: lab, lab2, empty"):
        noc.open(link, profile="nobody", endpoint=stored.endpoint)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert noc.open(link).levels[0].shape == (6, 96, 80)
    # A web link says itself at which server.
    amazon = parse_location(f"https://{stored.private}.s3.eu-west-1.amazonaws.com/{NAME}")
    assert settled(amazon).endpoint == "https://s3.eu-west-1.amazonaws.com"


def test_what_aws_configure_left_is_used_where_strangers_are_refused(
    config: None, stored: S3Server
) -> None:
    keys = f"aws_access_key_id={stored.access_key}\naws_secret_access_key={stored.secret_key}\n"
    write_config(f"[default]\n{keys}")

    image = noc.open(f"s3://{stored.private}/{NAME}", endpoint=stored.endpoint)

    assert image.levels[0].shape == (6, 96, 80)


ONE_CHUNK = (0, slice(0, 8), slice(0, 8))
"""Others, asked for beside it, would go on to be asked for with keys in their own time."""


def test_a_program_that_gives_keys_is_asked_again_when_they_are_refused(
    config: None, stored: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "keys.json"
    write_config(f"[profile lab]\ncredential_process = cat {said}\n")

    def give(secret: str) -> None:
        keys = {"AccessKeyId": stored.access_key, "SecretAccessKey": secret, "Version": 1}
        said.write_text(json.dumps(keys))

    give(stored.secret_key)
    image = noc.open(f"s3://{stored.private}/{NAME}?profile=lab&endpoint={stored.endpoint}")
    stored.door.fault = lambda method, path: ("400 Bad Request", "ExpiredToken")
    monkeypatch.setattr(remote, "_ANEW_AFTER_S", -1.0)
    with pytest.raises(CloudError, match="aws sso login --profile lab"):
        image.read(0, ONE_CHUNK)
    give("out-of-date-secret")
    stored.door.fault = lambda method, path: None
    with pytest.raises(CloudError, match="keys are wrong or out of date"):
        image.read(0, ONE_CHUNK)
    give(stored.secret_key)

    assert image.read(0, ONE_CHUNK).any()
    said.unlink()
    with pytest.raises(CredentialsError, match="signing in failed") as caught:
        noc.open(f"s3://{stored.private}/{NAME}?profile=lab&endpoint={stored.endpoint}")
    assert "No such file" in str(caught.value)

"""The way in: anonymous first, then who the environment says we are; never a secret in a text."""

from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.errors import (
    AccessRefusedError,
    NotFoundError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.images import Written
    from tests.fixtures.servers import S3Server
    from tests.fixtures.slow_http import SlowServer

NAME = "v04 by ome-zarr-py.ome.zarr"


@pytest.fixture(scope="module")
def stored(s3: S3Server, ome_zarr: Callable[[str], Written]) -> S3Server:
    """An S3 server with the image ``NAME`` in its public and its private bucket."""
    for bucket in (s3.public, s3.private):
        s3.put_folder(ome_zarr("v04 by ome-zarr-py").path, bucket)
    return s3


@pytest.fixture
def as_user(stored: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with the user's keys and endpoint in the environment."""
    for name, value in stored.environment.items():
        monkeypatch.setenv(name, value)
    return stored


@pytest.fixture
def served(slow_server: Callable[..., SlowServer], ome_zarr: Callable[[str], Written]) -> Any:
    """A slow server whose bucket ``b`` holds the image ``NAME``, and the link to it."""

    def serve() -> tuple[SlowServer, str]:
        root = ome_zarr("v04 by ome-zarr-py").path.parent.parent
        bucket = ome_zarr("v04 by ome-zarr-py").path.parent.name
        server = slow_server(root)
        return server, f"s3://{bucket}/{NAME}?endpoint={server.url}"

    return serve


def signed(server: SlowServer) -> list[bool]:
    return ["authorization" in exchange.headers for exchange in server.log]


# ---- a real S3 server with accounts -------------------------------------------------------------


def test_a_public_bucket_needs_no_account(stored: S3Server) -> None:
    image = noc.open(f"s3://{stored.public}/{NAME}", endpoint=stored.endpoint)

    assert image.levels[0].shape == (6, 96, 80)
    assert noc.open(str(image.location)).levels[0].shape == (6, 96, 80)


def test_the_endpoint_may_stand_in_the_link(stored: S3Server) -> None:
    image = noc.open(f"s3://{stored.public}/{NAME}?endpoint={stored.endpoint}")

    assert image.read(2, (0, slice(4), slice(4))).shape == (4, 4)


def test_a_private_bucket_is_opened_with_the_environments_keys(as_user: S3Server) -> None:
    image = noc.open(f"s3://{as_user.private}/{NAME}")

    assert image.read(2).shape == image.levels[2].shape


def test_a_private_bucket_refuses_who_has_no_keys(stored: S3Server) -> None:
    with pytest.raises(AccessRefusedError) as caught:
        noc.open(f"s3://{stored.private}/{NAME}", endpoint=stored.endpoint)

    assert caught.value.status == 403
    assert "profile" in caught.value.hint
    # A web link to such a server offers no keys to type: it says which link does.
    with pytest.raises(AccessRefusedError) as caught:
        noc.open(f"{stored.endpoint}/{stored.private}/cells.zarr")
    assert f"open s3://{stored.private}/cells.zarr?endpoint={stored.endpoint}." in str(caught.value)


def test_anonymous_means_that_the_keys_are_not_used(as_user: S3Server) -> None:
    with pytest.raises(AccessRefusedError):
        noc.open(f"s3://{as_user.private}/{NAME}", anonymous=True)


def test_a_web_link_is_signed_for_the_profile_that_is_named(
    stored: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = f"aws_access_key_id={stored.access_key}\naws_secret_access_key={stored.secret_key}\n"
    (tmp_path / "credentials").write_text(f"[lab]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    image = noc.open(f"{stored.endpoint}/{stored.private}/{NAME}", profile="lab")

    assert image.levels[0].shape == (6, 96, 80)


def test_a_web_link_to_the_environments_endpoint_is_signed_where_needed(as_user: S3Server) -> None:
    image = noc.open(f"{as_user.endpoint}/{as_user.private}/{NAME}")

    assert image.read(2).shape == image.levels[2].shape
    assert image.location.kind == "s3"


def test_a_wrong_secret_is_refused_and_shown_nowhere(
    as_user: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")

    with pytest.raises(AccessRefusedError) as caught:
        noc.open(f"s3://{as_user.private}/{NAME}")

    error = caught.value
    assert "keys are wrong or out of date" in str(error)
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    for text in (*texts, pickle.dumps(error).decode("latin1"), repr(error.__cause__)):
        assert "not-the-secret" not in text
        assert as_user.access_key not in text


def test_an_open_image_shows_no_keys(as_user: S3Server) -> None:
    image = noc.open(f"s3://{as_user.private}/{NAME}")

    shown = [image, image.location, image.pyramid, image.opened, image.levels[0].zarr.store]
    for text in (form(each) for each in shown for form in (str, repr)):
        assert as_user.secret_key not in text
        assert as_user.access_key not in text


@pytest.mark.parametrize("bucket", ["public-images", "private-images"])
def test_nothing_there_is_said_to_be_nothing(as_user: S3Server, bucket: str) -> None:
    with pytest.raises(NotFoundError, match="Found no image"):
        noc.open(f"s3://{bucket}/nothing.zarr")
    assert noc.try_access(f"s3://{bucket}/nothing.zarr").can_read is None


def test_a_bucket_that_is_not_there_is_named_with_its_server(as_user: S3Server) -> None:
    said = f"there is no bucket 'no-such-bucket' at {as_user.endpoint}"

    with pytest.raises(NotFoundError, match=said):
        noc.open("s3://no-such-bucket/image.zarr")
    assert said in str(noc.try_access("s3://no-such-bucket/image.zarr"))
    with pytest.raises(NotFoundError, match=said):
        noc.save(noc.open(f"s3://{as_user.public}/{NAME}"), "s3://no-such-bucket/image.zarr")


# ---- who is told what: a server that remembers --------------------------------------------------


def test_public_data_are_read_without_saying_who_asks(as_user: S3Server, served: Any) -> None:
    server, link = served()

    noc.open(link).read(2)

    assert not any(signed(server))


def test_what_let_us_in_is_tried_first_the_next_time(as_user: S3Server, served: Any) -> None:
    server, link = served()
    server.fault(NAME, 403)
    with pytest.raises(AccessRefusedError):
        noc.open(link, anonymous=True)
    first_round = len(server.log)
    server.clear_faults()
    server.fault(NAME, 403, times=first_round)
    noc.open(link)
    server.clear_log()

    noc.open(link)

    assert all(signed(server))


def test_keys_are_not_sent_to_a_host_that_the_environment_does_not_name(
    as_user: S3Server, served: Any
) -> None:
    server, link = served()
    server.fault(NAME, 403)
    bucket = link.removeprefix("s3://").partition("/")[0]

    with pytest.raises(AccessRefusedError):
        noc.open(f"{server.url}/{bucket}/{NAME}")

    assert not any(signed(server))


# ---- what a refusal or failure of one document means --------------------------------------------


def test_refused_metadata_are_refused(served: Any) -> None:
    server, link = served()
    server.fault(".z", 403)
    server.fault("zarr.json", 403)

    with pytest.raises(AccessRefusedError):
        noc.open(link)


@pytest.mark.parametrize("missing", [403, "html"])
def test_servers_that_answer_oddly_for_absent_keys_can_be_read(
    served: Any, missing: int | str
) -> None:
    server, link = served()
    server.missing = missing

    image = noc.open(link)

    assert len(image.levels) == 3
    assert image.labels == ()


@pytest.mark.usefixtures("impatient")
def test_a_level_that_failed_in_the_first_round_is_asked_for_again(served: Any) -> None:
    server, link = served()
    server.fault("s0/.zarray", 503, times=1)

    assert [level.path for level in noc.open(link).levels] == ["s0", "s1", "s2"]


@pytest.mark.usefixtures("impatient")
def test_a_level_that_goes_on_failing_is_not_left_out_in_silence(served: Any) -> None:
    server, link = served()
    server.fault("s0/.zarray", 503)

    with pytest.raises(ServerError) as caught:
        noc.open(link)

    assert (caught.value.key, caught.value.status) == ("s0/.zarray", 503)


@pytest.mark.usefixtures("impatient")
def test_metadata_that_fail_are_not_taken_for_absent(served: Any) -> None:
    server, link = served()
    server.fault(".zattrs", 503)

    with pytest.raises(ServerError) as caught:
        noc.open(link)

    assert caught.value.key == ".zattrs"


@pytest.mark.usefixtures("impatient")
def test_a_list_of_labels_that_fails_becomes_a_note(served: Any) -> None:
    server, link = served()
    server.fault("labels", 503)

    image = noc.open(link)

    assert image.labels == ()
    assert any("labels" in note and "503" in note for note in image.notes)

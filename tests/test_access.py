"""Trying and saying how to get in, in Python and in the shell: what a person is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import napari_omezarr_cloud as noc
from napari_omezarr_cloud.cli import main
from napari_omezarr_cloud.location import parse_location
from napari_omezarr_cloud.store.place_access import access_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.servers import S3Server

    Capture = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("no_access")


@pytest.fixture
def lab(s3: S3Server) -> tuple[S3Server, str]:
    """The S3 server and its private bucket, with one object in it."""
    s3.client.put_object(Bucket=s3.private, Key="trial/zarr.json", Body=b"{}")
    return s3, f"s3://{s3.private}/trial?endpoint={s3.endpoint}"


def keys_of(server: S3Server) -> dict[str, str]:
    return {"access_key_id": server.access_key, "secret_access_key": server.secret_key}


def objects(server: S3Server) -> list[str]:
    listed = server.client.list_objects_v2(Bucket=server.private, Prefix="trial/")
    return [each["Key"] for each in listed["Contents"]]


def test_a_trial_says_step_by_step_what_was_answered(lab: Any) -> None:
    server, link = lab

    tried = noc.try_access(link)

    assert (tried.can_read, tried.can_list, tried.can_write) == (False, False, None)
    assert [(step.what, step.is_done) for step in tried.steps] == [("list", False), ("read", False)]
    assert "without signing in: the server refused access (403)" in str(tried)

    noc.set_access(link, "keys", **keys_of(server))
    tried = noc.try_access(link)

    assert (tried.can_read, tried.can_list) == (True, True)
    assert "read, with the access keys for this run: zarr.json, 2 bytes" in str(tried)
    assert tried.verdict == "Reading: yes. Listing: yes. Writing: not tried."


def test_nothing_is_written_unless_asked_for_and_nothing_is_left(lab: Any) -> None:
    server, link = lab
    noc.set_access(link, "keys", **keys_of(server))

    assert noc.try_access(link).can_write is None
    assert objects(server) == ["trial/zarr.json"]
    tried = noc.try_access(link, write=True)

    assert tried.can_write is True
    assert "written, read back and deleted" in tried.steps[-1].answer
    assert objects(server) == ["trial/zarr.json"]


def test_who_may_only_read_is_told_so(azure: Any) -> None:
    cloud, link = azure
    noc.set_access(link, "sas", sas=cloud.sas(rights="rl"))

    tried = noc.try_access(link, write=True)

    assert (tried.can_read, tried.can_list, tried.can_write) == (True, True, False)
    assert "refused access (403)" in tried.steps[-1].answer


def test_a_container_is_written_to_with_the_accounts_key(azure: Any) -> None:
    cloud, link = azure
    noc.set_access(link, "account-key", account_key=cloud.key)
    before = dict(cloud.objects)

    tried = noc.try_access(link, write=True)

    assert (tried.can_read, tried.can_list, tried.can_write) == (True, True, True)
    assert cloud.objects == before


def test_google_is_read_listed_and_written_as_a_service_account(
    google: Any, tmp_path: Path
) -> None:
    cloud, link = google
    file = tmp_path / "key.json"
    file.write_text(cloud.service_account())
    noc.set_access(link, "service-account", file=str(file))

    tried = noc.try_access(link, write=True)

    assert (tried.can_read, tried.can_list, tried.can_write) == (True, True, True)


def test_a_sas_is_taken_from_a_link_that_has_one(azure: Any) -> None:
    cloud, link = azure

    said = noc.set_access(f"{link}&{cloud.sas()}", "sas")

    assert "sig" not in said.place
    assert noc.open(link).levels


def test_what_a_way_does_not_ask_for_is_refused_without_its_value() -> None:
    with pytest.raises(noc.CloudError, match="does not ask for sas") as caught:
        noc.set_access("https://host", "token", token="t0ken-t0ken", sas="s3cret-s3cret")

    assert "s3cret" not in str(caught.value)


# ---- the shell ----------------------------------------------------------------------------------


def test_the_shell_says_tries_lists_and_forgets(
    lab: Any, ring: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, link = lab
    place = str(parse_location(link))
    monkeypatch.setenv("LAB_ID", server.access_key)
    monkeypatch.setenv("LAB_SECRET", server.secret_key)
    variables = ["--from-env", "access_key_id=LAB_ID", "--from-env", "secret_access_key=LAB_SECRET"]

    assert main(["access", "test", link]) == 1
    assert main(["access", "set", link, "keys", *variables]) == 0
    assert main(["access", "test", link, "--write"]) == 0
    assert main(["access", "list"]) == 0
    assert main(["access", "forget", place]) == 0
    assert main(["access", "forget", place]) == 1

    out, err = capsys.readouterr()
    assert "no   read, without signing in: the server refused access (403)" in out
    assert "with the access keys from the keyring: zarr.json, 2 bytes" in out
    assert "Reading: yes. Listing: yes. Writing: yes." in out
    assert f"{place}  keys    keyring" in out
    assert f"Nothing was said of {place}" in err
    assert ring == {}
    for text in (out, err, access_file().read_text()):
        assert server.secret_key not in text
        assert server.access_key not in text


def test_where_nobody_can_be_asked_the_shell_says_what_to_do(ring: Any, capsys: Capture) -> None:
    assert main(["access", "set", "https://host", "token"]) == 1

    assert "--from-env token=VARIABLE" in capsys.readouterr().err


@pytest.mark.parametrize("priority", [-1, 0.5], ids=["keeps nothing", "plain files"])
def test_a_keyring_that_is_not_safe_is_none(
    ring: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch, priority: float
) -> None:
    import keyring

    monkeypatch.setattr(type(keyring.get_keyring()), "priority", priority)

    assert main(["access", "set", "s3://lab", "keys"]) == 1
    with pytest.raises(noc.CloudError, match="none that keeps secrets safe"):
        noc.set_access("https://lab.org", "token", token="t0ken-of-the-lab", keyring=True)

    assert "Use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in capsys.readouterr().err
    assert ring == {}
    assert not access_file().exists()


def test_info_says_what_one_pays_for(google: Any, capsys: Capture) -> None:
    cloud, link = google
    cloud.requester_pays = True
    token = next(iter(cloud.tokens))
    noc.set_access(link, "token", token=token, requester_pays=True, project="lab")

    assert main(["info", link]) == 0

    assert "bytes of metadata for this (requester pays)" in capsys.readouterr().out.replace(
        "kB", "bytes"
    )

"""Messages of libraries and servers are shown, the secrets in them are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_omezarr_cloud.location import redacted

SECRET = "T0pSecretSignature"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(
            "Error performing GET http://h:1/a/k?sig=T0pSecretSignature in 4ms - refused",
            "Error performing GET http://h:1/a/k?[hidden] in 4ms - refused",
            id="query",
        ),
        pytest.param(
            "no key https://h/x.zarr%3Fsig=T0pSecretSignature/zarr.json",
            "no key https://h/x.zarr?[hidden]",
            id="query escaped as part of the key",
        ),
        pytest.param("'https://u:T0pSecretSignature@h/x'", "'https://h/x'", id="password"),
        pytest.param(
            "https://u:T0pSecretSignature/a@h/x", "https://[hidden]/h/x", id="slash in it"
        ),
        pytest.param("https://h/x#token=T0pSecretSignature", "https://h/x", id="fragment"),
        pytest.param("abfs://c@me.dfs.core.windows.net/x", None, id="container is no user"),
        pytest.param("s3://b/k#1.zarr at http://[::1]:9000/b", None, id="nothing to hide"),
        pytest.param("https://cdn.org/npm/@scope/x.zarr", None, id="@ in a path"),
    ],
)
def test_links_in_a_message_lose_their_secrets_only(text: str, shown: str | None) -> None:
    assert redacted(text) == (text if shown is None else shown)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f'{{"authorization": "Basic {SECRET}"}}',
        f"Bearer {SECRET}AndMore was rejected",
        f"X-Amz-Security-Token: {SECRET}",
        f"form was X-Amz-Credential=AKIA&X-Amz-Signature={SECRET}&x=1",
        f"aws_secret_access_key = {SECRET}",
        f"password='{SECRET}'",
        f"<Code>ExpiredToken</Code><Token-0>{SECRET}</Token-0>",
        f"<CanonicalRequest>GET\nx-amz-security-token:{SECRET}\n</CanonicalRequest>",
        f"<StringToSign>cut short, {SECRET}",
        f'Url {{ username: "{SECRET}", password: Some("x"), path: "/" }}',
        f'Url {{ path: "/x", query: Some("sig={SECRET}"), fragment: None }}',
    ],
)
def test_credentials_outside_links_are_hidden(text: str) -> None:
    assert SECRET not in redacted(text)


def test_the_query_of_a_known_location_is_hidden_wherever_it_stands() -> None:
    query = "sv=2024-01&sig=abc%2Fdefgh%3D"

    shown = redacted("bad signature abc/defgh= (abc%2Fdefgh%3D) for sv 2024-01", query)

    assert shown == "bad signature [hidden] ([hidden]) for sv [hidden]"


@pytest.mark.parametrize(
    "text",
    [
        "Could not read the metadata at s3://b/x.zarr (key 0/zarr.json): no such key.",
        "Unexpected token: '<' at line 1, key: zarr.json",
        "The basic operation needs a key; authorization failed: (403)",
        "axes ['x', 'y'] have no 'z'; what is wanted?",
        r"C:\data\x.zarr and /data/50% a+b?.zarr",
    ],
)
def test_ordinary_messages_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


@given(
    scheme=st.sampled_from(["s3", "az", "https", "HTTPS", "ftp"]),
    before=st.from_regex(r"[^\s\"'<>`]*", fullmatch=True),
    after=st.from_regex(r"[^\s\"'<>`]*", fullmatch=True),
)
def test_no_query_of_a_link_is_left_in_a_message(scheme: str, before: str, after: str) -> None:
    message = f"GET ({scheme}://h/{before}?a={SECRET}{after}) failed"

    assert SECRET not in redacted(message)
    assert redacted(message).startswith("GET (")


@given(st.text(max_size=40))
def test_hiding_twice_changes_nothing_more(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)

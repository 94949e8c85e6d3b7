"""What a host name says: Amazon, Google and Azure addresses among ordinary web links."""

from __future__ import annotations

import re
from dataclasses import replace

from napari_omezarr_cloud.location.place import Access, Location

__all__ = ["cloud_of", "is_amazon"]

_AMAZON = (
    r"(?:(?P<bucket>.+)\.)?s3(?:-fips|-accelerate|-external-1)?(?:[.-]dualstack)?"
    r"(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d+))?\.amazonaws\.com(?P<china>\.cn)?"
)
_GOOGLE = (
    r"(?:(?P<bucket>.+)\.)?(?:(?:commondata)?storage\.googleapis\.com|storage\.cloud\.google\.com)"
)
_AZURE = (
    r"(?P<account>[a-z0-9-]+)\.(?:blob|dfs)"
    r"\.(?P<cloud>core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn))"
)


def cloud_of(host: str, key: str, query: str, access: Access) -> Location | None:
    """Return the bucket or container behind a web address, or None for an ordinary server.

    Parameters
    ----------
    host
        Lower-case host name without a port.
    key
        Decoded path without slashes at its ends.
    query
        Raw query. A signed Amazon or Google link stays a web address, as it is good for just
        that; an Azure SAS is good for the whole container.
    access
        How to get in; the region in the host name goes before its own.
    """
    if found := re.fullmatch(_AZURE, host):
        public = found["cloud"] == "core.windows.net"
        place = Location(
            "az",
            *_split(None, key),
            endpoint=None if public else f"https://{host}",
            account=found["account"],
            query=query,
            access=access,
        )
    elif query:
        return None
    elif found := re.fullmatch(_AMAZON, host):
        region = found["region"] or access.region
        china = f"https://s3.{region or 'cn-north-1'}.amazonaws.com.cn"
        endpoint = china if found["china"] else None  # a partition that no client knows by itself
        place = Location("s3", *_split(found["bucket"], key), endpoint=endpoint)
        place = replace(place, access=replace(access, region=region))
    elif found := re.fullmatch(_GOOGLE, host):
        place = Location("gs", *_split(found["bucket"], key), access=access)
    else:
        return None
    return place if place.bucket else None


def is_amazon(host: str) -> tuple[bool, str | None]:
    """Return whether a host is Amazon's own S3 endpoint (not China's), and its region."""
    found = re.fullmatch(_AMAZON, host)
    if not found or found["bucket"] or found["china"]:
        return False, None
    return True, found["region"]


def _split(bucket: str | None, key: str) -> tuple[str, str]:
    if bucket:
        return bucket, key
    first, _, rest = key.partition("/")
    return first, rest

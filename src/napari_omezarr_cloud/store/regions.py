"""In which region a bucket is, where a server says that it is in another one than was asked for.

obstore follows neither Amazon's redirects nor the region that is named in a refusal.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from napari_omezarr_cloud.store.once import Once

if TYPE_CHECKING:
    from napari_omezarr_cloud.errors import CloudError
    from napari_omezarr_cloud.location import Location

__all__ = ["find_region", "known_region"]

_Bucket = tuple["str | None", str]
_known: dict[_Bucket, str] = {}
"""By endpoint and bucket."""
_asking: dict[_Bucket, Once[str | None]] = {}


def known_region(location: Location) -> str | None:
    """Return what was found out of a bucket's region in this process; None: nothing."""
    return _known.get((location.endpoint, location.bucket))


async def find_region(location: Location, error: CloudError) -> str | None:
    """Return the region of a bucket after a refusal that is about the region, and remember it.

    Returns
    -------
    str or None
        None where the refusal is about something else, or nobody says which region it is.
    """
    if location.kind != "s3" or error.status not in (301, 400):
        return None
    bucket = location.endpoint, location.bucket
    # "AuthorizationHeaderMalformed" says it, of Amazon's and of others' servers.
    said = re.search(r"<Region>\s*([\w-]{1,64})\s*</Region>", str(error.__cause__ or ""))
    found = said.group(1) if said else None
    if found is None and error.status == 301 and location.endpoint is None:
        found = await _asking.setdefault(bucket, Once(lambda: _ask_amazon(location.bucket)))
        _asking.pop(bucket, None)
    if found is not None:
        _known[bucket] = found
    return found


async def _ask_amazon(bucket: str) -> str | None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    def ask() -> str | None:
        # Through the environment's proxy, if there is one. Refused requests say the region, too.
        url = f"https://s3.amazonaws.com/{quote(bucket)}"
        try:
            with urlopen(Request(url, method="HEAD"), timeout=5) as answer:
                headers = answer.headers
        except HTTPError as error:
            headers = error.headers
        except OSError:
            return None
        region: str | None = headers.get("x-amz-bucket-region")
        return region

    return await asyncio.to_thread(ask)

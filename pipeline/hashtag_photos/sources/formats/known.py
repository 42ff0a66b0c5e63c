"""Every known format by its name, the surest to recognise first."""

from __future__ import annotations

from hashtag_photos.sources.formats import (
    Format,
    bluesky,
    fourcat,
    gallery_dl,
    instagram,
    minet,
    tiktok,
    tumblr,
    twarc_csv,
    x_api,
    x_web,
    zeeschuimer,
)

_MODULES = (
    *(zeeschuimer, twarc_csv, x_api, x_web, bluesky, instagram, tiktok, tumblr),
    *(fourcat, minet, gallery_dl),
)

FORMATS: dict[str, Format] = {each.name: each for module in _MODULES for each in module.FORMATS}

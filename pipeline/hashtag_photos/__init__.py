"""hashtag-photos: how many of a hashtag's pictures show what, and how sure can one be?

    import hashtag_photos as hp

    run = hp.Run("runs/mynypd")
    hp.collect(run, hp.sources.exported("posts.jsonl"))
    hp.download(run)
    hp.classify(run, hp.Classifier(model="large", labels="friendly-or-force"))
    hp.summarize(run).to_dataframe()

Names are loaded when they are used: importing this imports neither torch nor pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashtag_photos import sources
    from hashtag_photos.engines import find_engine
    from hashtag_photos.errors import HashtagPhotosError
    from hashtag_photos.http import Limits
    from hashtag_photos.labels import LabelSet, find_labels
    from hashtag_photos.manners import Manners
    from hashtag_photos.report import write_report
    from hashtag_photos.report.comparison import write_comparison
    from hashtag_photos.run import Run
    from hashtag_photos.stages.classify import Classifier, Result, classify
    from hashtag_photos.stages.collect import collect
    from hashtag_photos.stages.compare import compare
    from hashtag_photos.stages.download import download
    from hashtag_photos.stages.summarize import summarize
    from hashtag_photos.stages.tally import Tally

_WHERE = {
    "Classifier": "stages.classify",
    "HashtagPhotosError": "errors",
    "LabelSet": "labels",
    "Limits": "http",
    "Manners": "manners",
    "Result": "stages.classify",
    "Run": "run",
    "Tally": "stages.tally",
    "classify": "stages.classify",
    "collect": "stages.collect",
    "compare": "stages.compare",
    "download": "stages.download",
    "find_engine": "engines",
    "find_labels": "labels",
    "sources": "",
    "summarize": "stages.summarize",
    "write_comparison": "report.comparison",
    "write_report": "report",
}

__all__ = [
    "Classifier",
    "HashtagPhotosError",
    "LabelSet",
    "Limits",
    "Manners",
    "Result",
    "Run",
    "Tally",
    "classify",
    "collect",
    "compare",
    "download",
    "find_engine",
    "find_labels",
    "sources",
    "summarize",
    "write_comparison",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "sources":
        return importlib.import_module("hashtag_photos.sources")
    return getattr(importlib.import_module(f"hashtag_photos.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__

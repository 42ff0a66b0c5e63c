"""Every error that a user can cause or meet, as one tree.

    HashtagPhotosError            anything below; the command line catches this one alone and exits with 2
    ├── UsageError                what was asked makes no sense: an option, a value, two that exclude each other
    ├── SourceError               posts that can't be read: a missing, empty or unusable export or folder
    ├── ModelError                a model that is unknown, has no weights, or can't run on the device
    ├── LabelSetError             a label set that is unknown or unreadable
    └── RunError                  a run folder that can't be used
        ├── RunConflictError      it was asked something else before
        ├── RunLockedError        another process is writing to it
        └── StorageError          it can't be written or read: permissions, a full disk

A message is one line: what happened, to which thing, and what to do. A picture that can't be had is no error: it is a
row with a status (see records.PhotoStatus).
"""

from __future__ import annotations


class HashtagPhotosError(Exception):
    """Base of all. `subject` is what it is about: a path, a model name, a column."""

    def __init__(self, message: str, *, subject: object = None) -> None:
        super().__init__(message)
        self.subject = subject


class UsageError(HashtagPhotosError):
    """What was asked makes no sense."""


class SourceError(HashtagPhotosError):
    """Posts that can't be read."""


class ModelError(HashtagPhotosError):
    """A model that is unknown, has no weights, or can't run on the device."""


class LabelSetError(HashtagPhotosError):
    """A label set that is unknown or unreadable."""


class RunError(HashtagPhotosError):
    """A run folder that can't be used."""


class RunConflictError(RunError):
    """The run folder was asked something else before."""


class RunLockedError(RunError):
    """Another process is writing to the run folder."""


class StorageError(RunError):
    """The run folder can't be written or read."""

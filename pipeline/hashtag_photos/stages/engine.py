"""Who does the work of the stages: this process and those it starts (`LOCAL`), or a Ray cluster (engines/ray.py).

The stages are the same code for all of them, and so are the tables, to the byte once they are sorted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hashtag_photos.stages import cores

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from hashtag_photos.clip import Encoder
    from hashtag_photos.models import ModelSpec
    from hashtag_photos.run import Run
    from hashtag_photos.stages.crew import Listener
    from hashtag_photos.stages.fetching import Job
    from hashtag_photos.stages.worklist import Worklist

    Vector = npt.NDArray[np.float32]

_MOST_THREADS = 8  # more would wait for the one that hands out the items, and hold more of them in memory

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Origin(Protocol):
    """Which weights a model was loaded from: the sha256 of their file; the hub's repository and commit, if known."""

    @property
    def sha256(self) -> str: ...
    @property
    def hub(self) -> str | None: ...
    @property
    def commit(self) -> str | None: ...


class Encoding(Protocol):
    """A loaded model, wherever it is: what a run remembers of it, and its vectors of texts."""

    @property
    def weights(self) -> Origin:
        """What it was loaded from."""
        ...

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """How pictures become its pixels."""
        ...

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before the softmax."""
        ...

    @property
    def device(self) -> str:
        """Its kind: cpu, cuda or mps."""
        ...

    @property
    def batch_size(self) -> int:
        """How many images it encodes at once."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know of how it went."""
        ...

    def expect(self, images: int) -> None:
        """Say how many images will come."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vector:
        """Unit vectors of texts, (n, dimension). Raises ModelError for one that is longer than what the model reads."""
        ...


class Engine(Protocol):
    """Who does the work of the stages."""

    def place(self) -> str:
        """Where it is done, for people ("on Ray: 1 node, 2 CPUs, no GPU"); nothing if it is here.

        Raises RunError if nobody is there to do it.
        """
        ...

    def fetch(self, run: Run, worklist: Worklist, job: Job, listener: Listener, log: Callable[[Any], None]) -> None:
        """Ask for every address that is left in a worklist; what becomes of each is told to `listener`.

        Raises StorageError if the run folder can't be written, RunError if those who fetch die again and again.
        """
        ...

    def precision(self, device: str) -> str:
        """What a model is computed in on a device unless somebody asks otherwise: fp32 or bf16. Raises ModelError."""
        ...

    def encoder(self, model: ModelSpec, device: str) -> Encoding:
        """A model, loaded; `device` is auto, cpu, cuda or mps. Raises ModelError if it can't be."""
        ...

    def encode(
        self, run: Run, encoder: Any, images: pa.Table
    ) -> Iterator[list[tuple[tuple[str, str], Vector | Exception]]]:
        """Images of a run, given as sha256 and format, with their unit vectors, or why one could not be read; in order.

        `encoder` is one that this engine made. Batches are cut at the multiples of its batch size. Raises ModelError,
        StorageError if the run folder can't be read, RunError if those who encode die again and again.
        """
        ...

    def each(self, work: Callable[[Shared, Item], Outcome], shared: Shared, items: Iterable[Item]) -> Iterator[Outcome]:
        """The outcomes of `work` in the order of the items, few of either in memory at once.

        `work` is a function of a module. It, `shared` (sent to a cluster once), items and outcomes can be pickled;
        arrays that come from elsewhere are read-only. What `work` raises is raised here. An item may be worked on
        twice, if who did it died: `work` changes nothing.
        """
        ...


class Local:
    """This process, and those that it starts."""

    def place(self) -> str:
        return ""

    def fetch(self, run: Run, worklist: Worklist, job: Job, listener: Listener, log: Callable[[Any], None]) -> None:
        from hashtag_photos.stages.crew import jobs_here, visit

        for _ in visit(jobs_here(worklist, job), listener, log):
            pass

    def precision(self, device: str) -> str:
        from hashtag_photos.devices import choose_device, natural_precision  # torch: a second

        return natural_precision(choose_device(device))

    def encoder(self, model: ModelSpec, device: str) -> Encoder:
        from hashtag_photos.clip import Encoder

        return Encoder(model, device)

    def encode(
        self, run: Run, encoder: Encoder, images: pa.Table
    ) -> Iterator[list[tuple[tuple[str, str], Vector | Exception]]]:
        from hashtag_photos.stages.embed import images_encoded

        return images_encoded(run, encoder, images)

    def each(self, work: Callable[[Shared, Item], Outcome], shared: Shared, items: Iterable[Item]) -> Iterator[Outcome]:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        threads = min(cores(), _MOST_THREADS)
        waiting: deque[Future[Outcome]] = deque()
        # BLAS would have threads of its own for each of ours, which wait for one another on cores that are taken
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, shared, item))
                    del item
                    if len(waiting) > 2 * threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


LOCAL: Engine = Local()

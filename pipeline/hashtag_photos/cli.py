"""The command `hashtag-photos`: options in, stages in order, a table out. With terminal.py the only module that prints.

An error that a user can cause is one line on standard error and exit code 2; anything else keeps its traceback. Heavy
imports are inside the commands, so that --help is there at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from hashtag_photos.errors import HashtagPhotosError, RunConflictError, RunError, SourceError, UsageError
from hashtag_photos.terminal import bars, by_make, command, nothing_or, reasons, show, show_comparison, shown_path, tell
from hashtag_photos.words import many

if TYPE_CHECKING:
    from hashtag_photos.labels import LabelSet
    from hashtag_photos.models import ModelSpec
    from hashtag_photos.run import Run
    from hashtag_photos.sources import Source
    from hashtag_photos.stages import Progress
    from hashtag_photos.stages.classify import Classified, Classifier
    from hashtag_photos.stages.collect import Collected
    from hashtag_photos.stages.download import Downloaded
    from hashtag_photos.stages.engine import Engine
    from hashtag_photos.stages.tally import Tally


_LEAVE_SECONDS = 10.0  # what was had is kept meanwhile
_INTERRUPTED = "interrupted; what was had is kept: the same command goes on from here"

app = typer.Typer(
    name="hashtag-photos",
    help="How many of a hashtag's pictures show what, and how sure can one be?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(invoke_without_command=True)
app.add_typer(models_app, name="models")

Hashtag = Annotated[str | None, typer.Option(help="The hashtag to search for, with --source.", show_default=False)]
Sources = Annotated[
    str | None,
    typer.Option(
        "--source",
        help="Where to search: mastodon:SERVER, bluesky, x; several divided by commas.",
        show_default=False,
    ),
]
Since = Annotated[str | None, typer.Option(help="The first day of the search, or a time in UTC.", show_default=False)]
Until = Annotated[str | None, typer.Option(help="The last day of the search, or a time in UTC.", show_default=False)]
Limit = Annotated[
    int | None,
    typer.Option(help="At most so many posts of each source. Default: all.", show_default=False, min=1),
]
MaxWait = Annotated[
    float | None,
    typer.Option(
        help="Seconds to wait at most when a server limits its rate. Default: 3600.", show_default=False, min=0
    ),
]
KeepAuthors = Annotated[bool, typer.Option("--keep-authors", help="Store authors' names, not pseudonyms.")]
Posts = Annotated[
    Path | None,
    typer.Option(help="An export of posts: JSON, JSON Lines, CSV or Parquet, or a folder of JSON.", show_default=False),
]
Format = Annotated[
    str | None,
    typer.Option(help="The tool that wrote the export, where that isn't recognised.", show_default=False),
]
Images = Annotated[Path | None, typer.Option(help="A folder of pictures.", show_default=False)]
Columns = Annotated[
    str | None,
    typer.Option(help="Columns of the export with unusual names, as FIELD=NAME,FIELD=NAME.", show_default=False),
]
Files = Annotated[
    Path | None,
    typer.Option(help="The folder below which the export's attachments may be local files.", show_default=False),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="tiny, base, large, or any OpenCLIP name. Default: large; tiny for the sample.", show_default=False
    ),
]
AskedModel = Annotated[
    str | None,
    typer.Option("--model", help="A model that the run was classified with. Default: the first.", show_default=False),
]
Labels = Annotated[
    str | None,
    typer.Option(help="A bundled label set or a .toml file. Default: friendly-or-force.", show_default=False),
]
AskedLabels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="A bundled label set, a .toml file, or a label set that the run knows. Default: the run's first.",
        show_default=False,
    ),
]
Ask = Annotated[
    list[str] | None,
    typer.Option(
        help="A label set typed here, instead: 'CLASS: WHAT CAN BE SEEN', one or more of each of two classes or more.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[
    str, typer.Option(help="What the model computes in: fp32, bf16, or auto: fp32; bf16 on CUDA.", show_default=False)
]
RunFolder = Annotated[str | None, typer.Option("--run", help="The run folder. Default: runs/NAME.", show_default=False)]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run folder.", show_default=False)]
Retry = Annotated[bool, typer.Option("--retry", help="Ask again for what failed for now (time-outs, server errors).")]
Contact = Annotated[
    str | None,
    typer.Option(
        envvar="HASHTAG_PHOTOS_CONTACT",
        help="An e-mail or web address that servers are told, in the User-Agent, for questions.",
        show_default=False,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(help="Requests a second to one host at most. Default: 30.", show_default=False, min=0.001),
]
Ports = Annotated[
    str | None,
    typer.Option(help="Ports to download from, beside 80 and 443, divided by commas.", show_default=False),
]
IgnoreOptOuts = Annotated[
    bool,
    typer.Option("--ignore-opt-outs", help="Download also what servers ask machines to leave alone (X-Robots-Tag)."),
]
Placeholders = Annotated[
    Path | None,
    typer.Option(
        help="A file of sha256 sums: pictures that say 'removed', to be left out of the counts.", show_default=False
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        help="How a new run keeps its images: as files, or in shards, tar files of 256 MB for a million and more. "
        "Default: files.",
        show_default=False,
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="Who does the work: local, or ray, the cluster at RAY_ADDRESS or one here.")
]
Log = Annotated[Path | None, typer.Option(help="A file to add a line of JSON to for each request.", show_default=False)]


@app.command()
def run(
    hashtag: Hashtag = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    max_wait: MaxWait = None,
    keep_authors: KeepAuthors = False,
    posts: Posts = None,
    format: Format = None,
    columns: Columns = None,
    files: Files = None,
    images: Images = None,
    model: Model = None,
    labels: Labels = None,
    device: Device = "auto",
    precision: Precision = "auto",
    run: RunFolder = None,
    retry: Retry = False,
    contact: Contact = None,
    rate: Rate = None,
    ports: Ports = None,
    ignore_opt_outs: IgnoreOptOuts = False,
    placeholders: Placeholders = None,
    store: Store = None,
    log: Log = None,
    engine: EngineName = "local",
) -> None:
    """All of it: collect, download, classify, summarize, report.

    Without --hashtag, --posts or --images it goes on with the run folder, or, if that is new, takes the bundled sample.
    Run again, it does only what is left to do.
    """
    from hashtag_photos.engines import find_engine
    from hashtag_photos.run import Run
    from hashtag_photos.stages.classify import check_question, question

    given = _given(hashtag, source, since, until, posts, format, columns, files, images)
    asked_for = _asked_for(retry, max_wait, contact, rate, ports, ignore_opt_outs, placeholders, store, log, engine)
    folder = Run(run or _default_folder(hashtag, posts, images))
    sources = _sources(folder, given)
    classifier = _classifier(folder, sources, model, labels, device, precision, find_engine(engine))
    if "collect" not in folder.stages:
        for each in sources:
            each.check()
    asked = question(classifier)
    folder.check(model=asked["model"], labels=asked["labels"], keep_authors=keep_authors or None, store=store)
    check_question(folder, classifier)
    _check_device(device, engine)
    _say_what(folder, sources, classifier)
    _say_place(classifier.engine)
    if not folder.exists:
        folder.storage.check_writable()
    with bars() as progress:
        collecting = _begin(folder, sources, progress, limit, max_wait, keep_authors, must=bool(given))
        if not folder.exists:  # a model that can't be loaded is said now, not after an hour of downloads
            progress("load model", 0, None)
            _ = classifier.encoder
            progress("load model", 1, 1)
        with folder.writing():
            _remember(folder, sources, classifier)
            for go_on in collecting:
                _say_collected(go_on())
            _download(folder, asked_for, progress)
            _classify(folder, classifier, progress)
    _finish(folder, None, None)


@app.command()
def collect(
    run: RunArgument,
    hashtag: Hashtag = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    max_wait: MaxWait = None,
    keep_authors: KeepAuthors = False,
    posts: Posts = None,
    format: Format = None,
    columns: Columns = None,
    files: Files = None,
    images: Images = None,
) -> None:
    """Stage 1: the posts of a source into the run folder, beside those of other sources.

    Without a source: those that the run has, or the bundled sample.
    """
    from hashtag_photos.run import Run

    folder = Run(run)
    given = _given(hashtag, source, since, until, posts, format, columns, files, images)
    sources = _as_before(given, _remembered(folder)) or _remembered(folder) or [_sample()]
    _say_recognised(folder, sources)
    with bars() as progress:
        for go_on in _begin(folder, sources, progress, limit, max_wait, keep_authors, must=True):
            _say_collected(go_on())


@app.command()
def download(
    run: RunArgument,
    retry: Retry = False,
    max_wait: MaxWait = None,
    contact: Contact = None,
    rate: Rate = None,
    ports: Ports = None,
    ignore_opt_outs: IgnoreOptOuts = False,
    placeholders: Placeholders = None,
    store: Store = None,
    log: Log = None,
    engine: EngineName = "local",
) -> None:
    """Stage 2: the posts' attachments into the run folder, each with what became of it."""
    asked_for = _asked_for(retry, max_wait, contact, rate, ports, ignore_opt_outs, placeholders, store, log, engine)
    folder = _existing(run)
    _say_place(asked_for["engine"])
    with bars() as progress:
        done = _download(folder, asked_for, progress)
    _say_missing(folder, done)


@app.command(context_settings={"allow_extra_args": True})
def classify(
    context: typer.Context,
    run: RunArgument,
    model: Model = None,
    labels: AskedLabels = None,
    ask: Ask = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: EngineName = "local",
) -> None:
    """Stage 3: a label for each image. A second label set or model is asked beside the first; vectors are kept.

    A question can be typed: --ask "friendly: a police officer hugging a child" "conflict_and_force: a baton"
    """
    from hashtag_photos.engines import find_engine

    asked = _asked(run, ask, context.args, labels)
    folder = _existing(run)
    classifier = _classifier(
        folder, _remembered(folder), model, asked or labels, device, precision, find_engine(engine)
    )
    _check_device(device, engine)
    _say_place(classifier.engine)
    with bars() as progress:
        _classify(folder, classifier, progress)
    tell(f"next: {command('report', folder.location, *_question_options(folder, classifier, model, labels))}")


@app.command()
def summarize(run: RunArgument, model: AskedModel = None, labels: AskedLabels = None) -> None:
    """Stage 4: the tally, as a table here, and as tally.json and CSV files in the run's report folder."""
    from hashtag_photos.report.prose import caution_of

    folder = _existing(run)
    with bars() as progress:
        progress("summarize", 0, None)
        tally = _tally(folder, model, labels)
    show(tally, shown_path(folder.location), caution=caution_of(folder, tally))
    tell(
        f"\n{_report_place(folder, tally)}/tally.json, numbers.csv, tally.csv, robustness.csv, coverage.csv, photos.csv"
    )


@app.command()
def report(
    run: RunArgument,
    model: AskedModel = None,
    labels: AskedLabels = None,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Make a page to hand on, which shows no picture.")
    ] = False,
    no_authors: Annotated[
        bool,
        typer.Option(
            "--no-authors",
            help="Make one that names no author and no host of a picture, links to no post, and quotes none.",
        ),
    ] = False,
) -> None:
    """The page: report.html in the run's report folder, its figures as files, and methods.md.

    With --no-pictures or --no-authors it is report-to-share.html, and all else stays as it is.
    """
    folder = _existing(run)
    _finish(folder, model, labels, pictures=not no_pictures, authors=not no_authors)


@app.command()
def review(
    run: RunArgument,
    model: AskedModel = None,
    labels: AskedLabels = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Pictures to draw in all. Default: 200, or as drawn before.", show_default=False, min=1),
    ] = None,
    coder: Annotated[
        str | None,
        typer.Option(help="Who labels, or who gave what is imported. Default: the page asks.", show_default=False),
    ] = None,
    settle: Annotated[bool, typer.Option("--settle", help="Settle what coders disagree on.")] = False,
    port: Annotated[
        int | None, typer.Option(help="The page's port. Default: that of the last time.", show_default=False, min=1)
    ] = None,
    plan: Annotated[
        float | None,
        typer.Option(help="Say how many labels it takes for so many percentage points, and end.", show_default=False),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write sample and labels to a .csv, or a .json for Label Studio, and end.", show_default=False
        ),
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", help="Add the labels in such a file, and end.", show_default=False),
    ] = None,
) -> None:
    """The page on which people label a random sample, so that the report can correct the model's shares.

    Each label is stored at once; Ctrl-C ends, and the same command goes on.
    """
    from hashtag_photos import reviewing
    from hashtag_photos.review.exchange import check_file

    if sum(each is not None for each in (plan, export, import_)) > 1:
        raise UsageError("--plan, --export and --import exclude each other: one at a time")
    if plan is not None or export is not None or import_ is not None:
        ends = "--plan" if plan is not None else "--export" if export is not None else "--import"
        for name, given, belongs in (
            ("--sample", sample is not None, export is not None),
            ("--coder", coder is not None, import_ is not None),
            ("--settle", settle, False),
            ("--port", port is not None, False),
        ):
            if given and not belongs:
                raise UsageError(f"{name} says nothing with {ends}: leave it out")
    for file in (export, import_):
        if file is not None:
            check_file(file, new=file is export)
    folder = _existing(run)
    model_key, label_set = _reviewed(folder, model, labels)
    options = [*(("--model", model) if model else ()), *(("--labels", labels) if labels else ())]
    if plan is not None:
        reviewing.say_plan(folder, model_key, label_set, plan, options)
    elif import_ is not None:
        reviewing.take(folder, label_set, import_, coder, options)
    elif export is not None:
        reviewing.draw(folder, model_key, label_set, sample, options)
        reviewing.export(folder, label_set, export, options)
    else:
        reviewing.label(folder, model_key, label_set, sample, coder, settle, port, options)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="The run folder to begin with.", show_default=False)],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The one to hold against it.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where to write. Default: compare-A-B, here.", show_default=False),
    ] = None,
    model: AskedModel = None,
    labels: AskedLabels = None,
) -> None:
    """Two runs beside each other: by how much the shares of the second differ, and how sure that is."""
    from hashtag_photos.report.comparison import check_folder, default_folder, write_comparison
    from hashtag_photos.stages.compare import compare as stage

    first, second = _existing(run_a), _existing(run_b)
    folder = to or default_folder(first, second)
    check_folder(folder)
    with bars() as progress:
        progress("summarize", 0, None)
        comparison = stage(
            first,
            second,
            model_key=_model_key(first, model) if model else None,
            labels_key=_labels_key(first, labels) if labels else None,
        )
        progress("summarize", 1, 1)
        progress("compare", 0, None)
        page = write_comparison(comparison, folder)
    show_comparison(comparison)
    tell(f"\ncompare    {shown_path(page)}  (beside it compare.csv, timeline.csv, and the figures)")


@models_app.callback()
def list_models(context: typer.Context) -> None:
    """What can be classified with: presets, their size and licence, and whether their weights are on this machine."""
    if context.invoked_subcommand is not None:
        return
    from hashtag_photos.models import find_model, find_weights, presets

    for name in presets():
        spec = find_model(name)
        is_, weights = spec.architecture if spec.weights else "bundled", find_weights(spec)
        tell(f"{name:<10} {is_}, {_millions(spec)}, weights of {_bytes(spec)}, {spec.licence}. {spec.notes}")
        if weights is None:
            tell(f"{'':<10} not on this machine; to bring it: {command('models', 'fetch', name)}\n")
        else:
            commit = f", commit {weights.commit}" if weights.commit else ""
            tell(f"{'':<10} on this machine: {shown_path(str(weights.path))}{commit}\n")
    tell("Any OpenCLIP name, hf-hub:org/repo and local-dir:/path are models too.")
    tell(f"What they cost here, measured in seconds: {command('models', 'measure')}")


@models_app.command("measure")
def measure_models(
    names: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Default: the presets.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """What a model costs on this machine: about five seconds for each, after loading it."""
    from hashtag_photos.models import find_model, presets
    from hashtag_photos.stages.measure import HEIGHT, WIDTH, measure

    specs = [find_model(name) for name in names or presets()]
    _check_device(device)
    tell(f"pictures a second, JPEG of {WIDTH}x{HEIGHT}, and what 10,000 of them take")
    for spec in specs:
        with bars() as progress:
            progress(f"measure {spec.name}", 0, None)
            done = measure(spec, device=device, precision=precision)
        values = "" if done.own_weights else "; with random weights, which cost the same"
        tell(
            f"{spec.name:<10} decoded {done.prepared:,.0f}/s, by the model {done.encoded:,.1f}/s: "
            f"{_duration(10_000 * done.seconds)} on {done.device} in {done.precision}{values}"
        )


@models_app.command("fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A preset or any OpenCLIP name.", show_default=False)],
    to: Annotated[
        Path | None,
        typer.Option(help="A new folder to put the model into, for a machine without network.", show_default=False),
    ] = None,
) -> None:
    """A model's weights onto this machine, checked, so that it starts without network from then on."""
    from hashtag_photos.models import find_model, find_weights
    from hashtag_photos.weights import ORIGIN, fetch, pack

    spec = find_model(name)
    had = find_weights(spec) is not None if to is None else (to / ORIGIN).is_file()
    weights = fetch(spec) if to is None else pack(spec, to)
    if had:
        tell("nothing to do: it is there")
    tell(f"model      {spec.reference}{f', from {weights.hub}' if weights.hub else ''}")
    tell(f"weights    {shown_path(str(weights.path))}")
    tell(f"sha256     {weights.sha256}")
    tell(f"commit     {weights.commit or 'unknown'}")
    if to is not None:
        tell(f"next       carry {to} over; there: {command('run', '--model', f'local-dir:{to}')}")


def main() -> NoReturn:
    """The entry point."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what was had is kept then, too
    _leave_in_time()
    try:
        app()
    except HashtagPhotosError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code == 130:
            print(_INTERRUPTED, file=sys.stderr)
        raise
    sys.exit(0)


def _leave_in_time() -> None:
    """Have Ctrl-C end this process within seconds, whatever it waits for, as `kill -9` would.

    An object store that is away is asked for more than a minute, by calls that no KeyboardInterrupt reaches.
    """
    heard, hears = os.pipe()
    os.set_blocking(hears, False)
    signal.set_wakeup_fd(hears, warn_on_full_buffer=False)

    def leave() -> None:
        while os.read(heard, 1)[0] not in (signal.SIGINT, signal.SIGTERM) or (
            signal.getsignal(signal.SIGINT) is not signal.default_int_handler  # as while a page is served
        ):
            pass
        time.sleep(_LEAVE_SECONDS)
        print(_INTERRUPTED, file=sys.stderr, flush=True)
        os._exit(130)

    threading.Thread(target=leave, daemon=True).start()


# What was asked


def _given(
    hashtag: str | None,
    source: str | None,
    since: str | None,
    until: str | None,
    posts: Path | None,
    format: str | None,
    columns: str | None,
    files: Path | None,
    images: Path | None,
) -> list[Source]:
    """The sources that the options name."""
    from hashtag_photos import sources

    if posts is not None and images is not None:
        raise UsageError("--posts and --images exclude each other: give the export or the folder of pictures")
    if posts is None and (columns is not None or files is not None or format is not None):
        raise UsageError("--columns, --files and --format say how to read an export: give it with --posts")
    if hashtag is None and (source is not None or since is not None or until is not None):
        raise UsageError("--source, --since and --until belong to a search: give the hashtag with --hashtag")
    places = [place for place in (source or "").split(",") if place.strip()]
    if hashtag is not None and not places:
        raise UsageError("say where to search: --source mastodon:SERVER (such as mastodon:mastodon.social), bluesky, x")
    given: list[Source] = [sources.search(place, hashtag or "", since=since, until=until) for place in places]
    if posts is not None:
        given.append(sources.exported(posts, columns=_columns(columns), files=files, format=format))
    if images is not None:
        given.append(sources.folder(images))
    return given


def _asked_for(
    retry: bool,
    max_wait: float | None,
    contact: str | None,
    rate: float | None,
    ports: str | None,
    ignore_opt_outs: bool,
    placeholders: Path | None,
    store: str | None,
    log: Path | None,
    engine: str,
) -> dict[str, Any]:
    """What the download stage is asked, beside its run. Nonsense is said before anything is done."""
    from hashtag_photos.engines import find_engine
    from hashtag_photos.http import Limits
    from hashtag_photos.images import placeholders as read_placeholders
    from hashtag_photos.imagestore import STORES
    from hashtag_photos.manners import Manners

    more = [port.strip() for port in (ports or "").split(",") if port.strip()]
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in more):
        raise UsageError(f"--ports {ports!r} is not of the form 8080,8443")
    if placeholders is not None:
        read_placeholders(placeholders)
    if store not in (None, *STORES):
        raise UsageError(f"--store {store!r} is neither {' nor '.join(STORES)}")
    stated = {"rate_per_host": rate, "max_wait": max_wait, "contact": contact or None}
    try:
        manners = Manners(
            heed_opt_outs=not ignore_opt_outs,
            **{name: value for name, value in stated.items() if value is not None},  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise UsageError(f"--contact: {error}") from None
    limits = Limits(ports=(*Limits().ports, *map(int, more)))
    return {
        "retry": retry,
        "limits": limits,
        "manners": manners,
        "placeholders": placeholders,
        "store": store,
        "log": log,
        "engine": find_engine(engine),
    }


def _columns(columns: str | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in (columns or "").split(",") if pair.strip()]
    if not all(equals and name.strip() and field.strip() for field, equals, name in pairs):
        raise UsageError(
            f"--columns {columns!r} is not of the form FIELD=NAME,FIELD=NAME, such as media=Bild,id=Nummer"
        )
    return {field.strip(): name.strip() for field, _, name in pairs}


def _sample() -> Source:
    from hashtag_photos import sources

    return sources.sample()


def _remembered(folder: Run) -> list[Source]:
    from hashtag_photos import sources

    return [sources.restore(asked) for asked in folder.asked.get("sources", ())]


def _sources(folder: Run, given: list[Source]) -> list[Source]:
    """What a run is to collect from: what is given, else its own sources, else the sample.

    Another place to search for the run's hashtag is added to it. Anything else that is new contradicts what the run was
    asked: a file of the same name elsewhere, or other days, would otherwise mix with what it has in silence.
    """
    before = _remembered(folder)
    asked = _as_before(given, before)
    for each in asked if before else ():
        if each not in before and not _same_search_elsewhere(each, before):
            raise RunConflictError(
                f"{folder.location} holds {_titles(before)} and is now asked for {each.title}: leave that out to go on "
                "with it, choose another folder with --run, or add to it with the command collect",
                subject=folder.location,
            )
    return asked or before or [_sample()]


def _same_search_elsewhere(source: Source, before: list[Source]) -> bool:
    from hashtag_photos.sources.live import Search, same_hashtag

    if not isinstance(source, Search):
        return False
    searches = [each for each in before if isinstance(each, Search)]
    return bool(searches) and all(
        same_hashtag(source.hashtag, each.hashtag) and source.server != each.server for each in searches
    )


def _as_before(given: list[Source], before: list[Source]) -> list[Source]:
    """The sources given; an export that the run has needs no --columns, --files and --format again."""
    from hashtag_photos.sources.exports import Exported

    known = {each.path: each for each in before if isinstance(each, Exported)}
    return [
        known.get(each.path, each)
        if isinstance(each, Exported) and not each.columns and each.files is None and each.format is None
        else each
        for each in given
    ]


def _titles(sources: list[Source]) -> str:
    return " and ".join(each.title for each in sources)


def _default_folder(hashtag: str | None, posts: Path | None, images: Path | None) -> str:
    from hashtag_photos.models import slug

    if hashtag is not None:
        return f"runs/{slug(hashtag.strip().lstrip('#').lower())}"
    given = posts or images
    if given is None:
        return "runs/sample"
    return f"runs/{slug(given.expanduser().resolve().stem if posts else given.expanduser().resolve().name)}"


def _classifier(
    folder: Run,
    sources: list[Source],
    model: str | None,
    labels: str | LabelSet | None,
    device: str,
    precision: str,
    engine: Engine,
) -> Classifier:
    """The classifier that is asked for, or else the one that the run remembers, or else the default for its source."""
    from hashtag_photos import models
    from hashtag_photos.labels import DEFAULT
    from hashtag_photos.sources.sample import Sample
    from hashtag_photos.stages.classify import Classifier

    only_sample = bool(sources) and all(isinstance(each, Sample) for each in sources)
    default_model = models.FOR_THE_SAMPLE if only_sample else models.DEFAULT
    label_set = labels if labels is not None else (_known_labels(folder, str(folder.asked.get("labels"))) or DEFAULT)
    if isinstance(label_set, str):
        label_set = _known_labels(folder, label_set) or label_set
    chosen = model or folder.asked.get("model") or default_model
    if precision == "auto":  # a run goes on as it began, on whatever machine
        precision = folder.asked.get("precision", precision)
    return Classifier(chosen, label_set, device=device, precision=precision, engine=engine)


def _known_labels(folder: Run, key: str) -> LabelSet | None:
    """A label set that the run has, by its key."""
    from hashtag_photos.labels import label_set_from_facts

    facts = folder.used("label_sets", key)
    return label_set_from_facts(dict(facts)) if facts is not None else None


def _asked(run: str, ask: list[str] | None, more: list[str], labels: str | None) -> LabelSet | None:
    """The label set that is typed after --ask; all words after the run folder belong to it."""
    from hashtag_photos.labels import asked

    if not ask and more:
        raise UsageError(f"{more[0]!r} stands after the run folder: give it with an option (see --help)")
    if not ask:
        return None
    if labels is not None:
        raise UsageError("--ask and --labels exclude each other: type the question, or name the label set")
    if ":" in run and "://" not in run:
        raise UsageError(f"the run folder stands before --ask, and {run!r} is none")
    return asked([*ask, *more])


def _check_device(device: str, engine: str = "local") -> None:
    """Say now, not after an hour of downloads, that a device of this machine can't be used."""
    if engine == "local" and device not in ("auto", "cpu"):
        from hashtag_photos.devices import choose_device

        choose_device(device)


def _remember(folder: Run, sources: list[Source], classifier: Classifier) -> None:
    from dataclasses import asdict

    from hashtag_photos.stages.classify import question

    folder.ask(**question(classifier))
    folder.ask_also(sources=[each.asked() for each in sources])
    folder.record_used("label_sets", classifier.labels.key, asdict(classifier.labels))


def _existing(location: str) -> Run:
    from hashtag_photos.run import Run

    folder = Run(location)
    if not folder.exists:
        raise RunError(f"{location}: there is no run here; start one with: {command('run', '--run', location)}")
    return folder


# Stages, each with a line about what it did


def _begin(
    folder: Run,
    sources: list[Source],
    progress: Progress,
    limit: int | None,
    max_wait: float | None,
    keep_authors: bool,
    *,
    must: bool,
) -> list[Callable[[], Collected]]:
    """Have the first answers, which are to be had before anything is written. What is returned does the rest.

    A run goes on without a source that isn't there any more, unless it `must` be: what was collected is had.
    """
    from hashtag_photos.stages.collect import MAX_WAIT, begin, leave_out

    asked = {
        "limit": limit,
        "max_wait": MAX_WAIT if max_wait is None else max_wait,
        "keep_authors": keep_authors or None,
        "progress": progress,
    }
    if must or not folder.stages.get("collect"):
        return [begin(folder, *sources, **asked)]  # type: ignore[arg-type]
    begun = []
    for source in sources:
        try:
            begun.append(begin(folder, source, **asked))  # type: ignore[arg-type]
        except SourceError as error:
            had = folder.count("posts")
            tell(f"collect    goes on with the {had} posts had, as their source can't be read now: {error}")
            leave_out(folder, source, str(error))
    return begun


def _say_collected(done: Collected) -> None:
    rejected = f", {many(done.rejected, 'line')} left out (see rejected.csv)" if done.rejected else ""
    repeated = f", {many(done.repeated, 'repeat')}" if done.repeated else ""
    tell(f"collect    {nothing_or(done.new, 'new post')}, {done.new + done.had:,} in all{repeated}{rejected}")
    for each in done.incomplete:
        tell(f"INCOMPLETE {each.source}: {each.reason}")


def _download(folder: Run, asked_for: dict[str, Any], progress: Progress) -> Downloaded:
    from hashtag_photos.stages.download import MISSING
    from hashtag_photos.stages.download import download as stage

    done = stage(folder, **asked_for, progress=progress)
    had = done.statuses.get("ok", 0)
    others = sum(done.statuses.values()) - had
    where = f"; the others: {shown_path(f'{folder.location}/{MISSING}')}" if others else ""
    tell(
        f"download   {nothing_or(done.new, 'attachment')} asked for, {had:,} of {done.attachments:,} had in all{where}"
    )
    return done


def _classify(folder: Run, classifier: Classifier, progress: Progress) -> Classified:
    from hashtag_photos.stages.classify import classify as stage

    done = stage(folder, classifier, progress=progress)
    unreadable = f", {many(done.unreadable, 'file')} gone or damaged since" if done.unreadable else ""
    new = many(done.new, "new image")
    if not done.new:
        new = f"no picture read, {many(done.images, 'image')} scored" if done.scored else nothing_or(0, "new image")
    tell(f"classify   {new}, {done.images:,} in all: {many(done.pictures, 'distinct picture')}{unreadable}")
    for note in done.notes:
        tell(f"           {note}")
    return done


def _tally(folder: Run, model: str | None, labels: str | None) -> Tally:
    from hashtag_photos.stages.summarize import summarize as stage

    return stage(
        folder,
        model_key=_model_key(folder, model) if model else None,
        labels_key=_labels_key(folder, labels) if labels else None,
    )


def _labels_key(folder: Run, labels: str) -> str:
    from hashtag_photos.labels import find_labels

    return (_known_labels(folder, labels) or find_labels(labels)).key


def _model_key(folder: Run, model: str) -> str:
    """The key of a model in this run, which has one precision."""
    from hashtag_photos.models import PRECISIONS, find_model

    return replace(find_model(model), precision=folder.asked.get("precision", PRECISIONS[0])).key


def _finish(folder: Run, model: str | None, labels: str | None, *, pictures: bool = True, authors: bool = True) -> None:
    from hashtag_photos.report import outdated_to_share, write_report
    from hashtag_photos.report.prose import caution_of

    with bars() as progress:
        progress("summarize", 0, None)
        tally = _tally(folder, model, labels)
        progress("summarize", 1, 1)
        progress("report", 0, None)
        page = write_report(folder, tally, pictures=pictures, authors=authors)
        outdated = outdated_to_share(folder, tally)
    show(tally, shown_path(folder.location), caution=caution_of(folder, tally))
    without = " and ".join(what for what, there in (("pictures", pictures), ("authors", authors)) if not there)
    about = "beside it methods.md, figures/, numbers.csv, tally.csv and more"
    if without:
        about = f"without {without}; hand on this file alone: the tables beside it have the posts' addresses"
    tell(f"\nreport     {shown_path(page)}  ({about})")
    if outdated:
        options = [*(("--model", model) if model else ()), *(("--labels", labels) if labels else ())]
        again = command("report", folder.location, *options)
        tell(f"OUTDATED   {shown_path(outdated)} was made of another tally or by an older version; make it anew")
        tell(f"           with --no-pictures, --no-authors or both: {again} --no-pictures --no-authors")
    _say_next(folder, tally)


# The review


def _reviewed(folder: Run, model: str | None, labels: str | None) -> tuple[str, LabelSet]:
    """The model's key and the label set that are asked for, or the run's own. Raises RunError without their scores."""
    from hashtag_photos.labels import find_labels
    from hashtag_photos.stages.classify import scores_path

    model_key = _model_key(folder, model) if model else folder.asked.get("model_key")
    asked = labels or folder.asked.get("labels")
    label_set = (_known_labels(folder, asked) or find_labels(asked)) if asked else None
    if model_key and label_set and folder.storage.exists(scores_path(model_key, label_set.key)):
        return model_key, label_set
    options = [*(("--model", model) if model else ()), *(("--labels", labels) if labels else ())]
    raise RunError(
        f"{folder.location}: its pictures are not classified{' by these' if options else ''} yet, and a sample is "
        "drawn by what they are taken for; run the classify stage first: "
        f"{command('classify', folder.location, *options)}",
        subject=folder.location,
    )


# What is shown


def _say_what(folder: Run, sources: list[Source], classifier: Classifier) -> None:
    verb = "goes on" if folder.exists else "is new"
    tell(f"{shown_path(folder.location)} {verb}: {_titles(sources)}")
    _say_recognised(folder, sources)
    tell(f"model {classifier.model.name}, label set {classifier.labels.name}\n")


def _say_place(engine: Engine) -> None:
    """Where the work is done, if that isn't here."""
    if place := engine.place():
        tell(place)


def _say_recognised(folder: Run, sources: list[Source]) -> None:
    """What an export was recognised as, where that was not known yet."""
    known = {each["title"] for each in folder.stages.get("collect", {}).get("sources", ())}
    for each in sources:
        if each.title in known:
            continue
        each.check()
        if each.recognised:
            tell(f"{each.title} are read as {each.recognised}")


def _say_missing(folder: Run, done: Downloaded) -> None:
    missing = {status: count for status, count in done.statuses.items() if status != "ok"}
    if missing:
        tell("missing    " + reasons(missing))
    if done.temporary:
        tell(
            f"to ask again for {done.temporary} that failed for now: {command('download', folder.location, '--retry')}"
        )


def _say_next(folder: Run, tally: Tally) -> None:
    from hashtag_photos.records import PhotoStatus

    missing = {name: count for name, count in tally.coverage.missing.items() if name in set(PhotoStatus)}
    temporary = sum(count for name, count in missing.items() if PhotoStatus(name).temporary)
    if temporary:
        again = command("run", "--run", folder.location, "--retry")
        tell(f"next       {temporary} failed for now; to ask again: {again}")
    elif not tally.coverage.collected_completely:
        limits = [
            each["limit"] for each in folder.stages["collect"]["sources"] if each["limit"] and not each["complete"]
        ]
        more = ("--limit", str(2 * max(limits))) if limits else ()
        tell(f"next       the posts are not all there; to go on: {command('run', '--run', folder.location, *more)}")
    elif [each["kind"] for each in folder.asked.get("sources", ())] == ["sample"]:
        own = "make classify POSTS=posts.jsonl" if by_make() else command("run", "--posts", "posts.jsonl")
        tell(f"next       look at the report; then a hashtag (README.md), or your own posts: {own}")
    else:
        another = command("classify", folder.location, "--ask", "indoors: a room", "outdoors: a street")
        tell(f"next       look at pictures of each class before you publish; a second question: {another}")


def _question_options(folder: Run, classifier: Classifier, model: str | None, labels: str | None) -> list[str]:
    """The options that ask for this question again, where it is not the run's own."""
    options = []
    if model and classifier.model.key != folder.asked.get("model_key"):
        options += ["--model", model]
    if classifier.labels.key != folder.asked.get("labels"):
        options += ["--labels", labels or classifier.labels.key]
    return options


def _millions(spec: ModelSpec) -> str:
    return f"{(spec.parameters or 0) / 1e6:,.0f} million parameters"


def _bytes(spec: ModelSpec) -> str:
    size = spec.megabytes or 0
    return f"{size / 1000:.1f} GB" if size >= 1000 else f"{size} MB"


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * unit:
            return many(round(seconds / unit), name)
    return many(max(round(seconds), 1), "second")


def _report_place(folder: Run, tally: Tally) -> str:
    from hashtag_photos.stages.summarize import report_folder

    return shown_path(f"{folder.location.rstrip('/')}/{report_folder(folder, tally.model_key, tally.labels_key)}")

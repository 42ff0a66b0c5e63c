"""Tally -> methods.md: how a run's numbers were made, with every setting and version filled in, ready to paste.

Only what applies to the run is in it. All that comes from outside, such as hashtags, titles, prompts and reasons, is
escaped for Markdown, and paths are told by their last part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from hashtag_photos.labels import ASKED, KINDS, UNSURE, LabelSet, find_labels
from hashtag_photos.models import presets
from hashtag_photos.report.page import at_most, open_labels, points
from hashtag_photos.report.phrases import (
    INTERVAL,
    PERCENT,
    be,
    between,
    day,
    days,
    in_words,
    listed,
    people,
    sentences,
    verb,
)
from hashtag_photos.report.prose import (
    SAMPLE,
    became,
    bounds_in_words,
    hashtags,
    is_sample,
    last_part,
    missing_bounds,
    none_had,
    sensitive_to_prompts,
    share_with_ends,
    times_of,
    tiny_caution,
    with_the_others,
    without_paths,
)
from hashtag_photos.report.references import Citations, software
from hashtag_photos.run import Run
from hashtag_photos.sources.sample import HASHTAG
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.coverage import LOCAL_FILE, NO_HOST
from hashtag_photos.stages.numbers import (
    CORRECTED,
    DIFFERENCE,
    RATIO,
    RAW,
    SHARE,
    Number,
    Whole,
    chance,
    exactly,
    percents,
    times,
)
from hashtag_photos.stages.reviewed import Agreed
from hashtag_photos.stages.score import TEMPLATE, WITHOUT_PROMPT
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.units import ENGAGEMENT, PICTURES, UNITS
from hashtag_photos.words import many, percent

_SHORT = 12  # letters of a sha256, or of a commit, that tell it from others
_OF_SOURCES = ("Mastodon.py", "atproto", "xdk")  # packages that collect posts and compute nothing
_PPI, _STRATA = "ppi", "post-stratified"
_SPELLED = {
    "python": "Python",
    "torch": "PyTorch",
    "open_clip_torch": "OpenCLIP",
    "pillow": "Pillow",
    "pyarrow": "PyArrow",
    "duckdb": "DuckDB",
    "numpy": "NumPy",
}
#: what to cite with models of an architecture, by how its name begins
_MODELS = {"PE-Core": "Bolya et al. 2025"}


def methods(run: Run, tally: Tally, labels: LabelSet) -> str:
    """How the numbers of a run's tally were made, as Markdown: data, methods, results, limits, and what to cite."""
    return _Methods(run, tally, labels).text()


def escape(text: str) -> str:
    """Text as Markdown shows it, in one line: nothing in it is markup, a link, or turns the direction of writing."""
    joiners = "\u200c\u200d"  # parts of words in some scripts
    kept = (
        each for each in text if unicodedata.category(each) not in ("Cf", "Cc") or each in joiners or each.isspace()
    )
    plain = " ".join("".join(kept).split())
    plain = re.sub(r"([\\`*\[\]<>~^$&|@])|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", plain)
    return re.sub(r"(?i)(?<=\w):(?=//|[^\s\d])|(?<=\bwww)\.", r"\\\g<0>", plain)


class _Methods:
    def __init__(self, run: Run, tally: Tally, labels: LabelSet) -> None:
        self._run, self._tally, self._labels = run, tally, labels
        self._cite = Citations()
        self._titles = {each.label: escape(each.title) for each in tally.classes}
        self._model: Mapping[str, Any] = run.used("models", tally.model_key) or {}
        self._records = [dict(each) for each in run.stages.get("collect", {}).get("sources", ())]
        self._asked = [dict(each) for each in run.asked.get("sources", ())]
        self._times = times_of(run)
        shares = [each for each in tally.numbers if each.kind == CORRECTED and each.measure == SHARE]
        self._corrected = {unit: own for unit in UNITS if (own := [each for each in shares if each.unit == unit])}

    def text(self) -> str:
        parts = {
            "Data": self._data(),
            "Pictures": self._pictures(),
            "Classification": self._classification(),
            "Near-duplicates": self._duplicates(),
            "Hand labels": self._hand_labels(),
            "Estimation": self._estimation(),
            "Results": self._results(),
            "Limits": self._limits(),
            "Software": self._software(),
            "How to cite": self._how_to_cite(),
        }
        lines = [f"# Methods: {self._subject()}"]
        for title, paragraphs in parts.items():
            kept = [each for each in paragraphs if each]
            if kept:
                lines += [f"## {title}", *kept]
        if self._cite.references:
            lines += ["## References", "\n".join(f"- {each}" for each in self._cite.references)]
        return "\n\n".join(lines) + "\n"

    @property
    def _is_sample(self) -> bool:
        return is_sample(self._run)

    def _subject(self) -> str:
        names = [*hashtags(self._run), *([f"#{HASHTAG}"] if self._is_sample else [])]
        return escape(listed(names) if names else self._tally.run)

    # What there was

    def _data(self) -> list[str]:
        coverage = self._tally.coverage
        one = coverage.posts == 1
        facts = [
            (coverage.posts_reposting, "is a repost of another", "are reposts of others"),
            (coverage.posts_without_attachments, "has no picture attached", "have no picture attached"),
            (coverage.posts_without_time, "states no certain time", "state no certain time"),
        ]
        told = [(count, single if count == 1 else more) for count, single, more in facts if count]
        if one:
            which = f", which {listed(what for _, what in told)}" if told else ""
        else:
            which = f", of which {listed(f'{count:,} {what}' for count, what in told)}" if told else ""
        gave = "This gave" if self._asked else "There is" if one else "There are"
        repeated, rejected = coverage.posts_repeated, coverage.lines_rejected
        return [
            sentences(
                self._sources(),
                f"{gave} {many(coverage.posts, 'post') if coverage.posts else 'no posts'}{which}.",
                self._dates(),
                f"Posts that came more than once were counted once, which left out {many(repeated, 'repeat')}."
                if repeated
                else "",
                f"{many(rejected, 'line')} of the sources {be(rejected)} left out: not to be read as a post, or a known"
                " post with other contents."
                if rejected
                else "",
            ),
            sentences(self._completeness(), self._authors()),
            f"#{HASHTAG} is a made-up hashtag: it is the sample that hashtag-photos brings along. Its posts were "
            "written and its pictures drawn to try the program out, their dates are made up as well, and nothing below "
            "says anything about real events or people."
            if self._is_sample
            else "",
        ]

    def _dates(self) -> str:
        """When the posts were posted."""
        coverage = self._tally.coverage
        timed = coverage.posts - coverage.posts_without_time
        if self._times.posted is None or not timed:
            return ""
        who = verb(timed, "It was", "They were")
        if coverage.posts_without_time:
            who = verb(timed, "The one with a time was", "Those with a time were")
        return f"{who} posted {between(*self._times.posted)} (UTC)."

    def _sources(self) -> str:
        told = [self._source(each) for each in self._asked]
        if not told:
            return ""
        were = "It was" if self._tally.coverage.posts == 1 else "They were"
        collected = f" {were} collected {between(*self._times.collected)}." if self._times.collected else ""
        if len(told) == 1:
            return f"Posts were taken from {told[0]}.{collected}"
        return f"Posts were taken from {in_words(len(told))} sources: {listed(told, '; ')}.{collected}"

    def _source(self, asked: Mapping[str, Any]) -> str:
        kind, hashtag = asked.get("kind"), escape(f"#{asked.get('hashtag')}")
        server = escape(urlsplit(str(asked.get("server"))).netloc or str(asked.get("server")))
        if kind == SAMPLE:
            return f"the sample of hashtag-photos, #{HASHTAG}"
        if kind == "folder":
            return f"the folder “{escape(last_part(asked))}”, of which each picture counts as a post"
        if kind == "exported":
            record = next((each for each in self._records if each.get("asked") == asked), {})
            told = str(record.get("recognised") or "").partition(": ")[2]
            return f"the export “{escape(last_part(asked))}”{f' (read as {escape(told)})' if told else ''}"
        where = {
            "mastodon": f"the timeline of {hashtag} on the Mastodon server {server}",
            "bluesky": f"a search for {hashtag} on Bluesky, by the server {server}",
            "x": f"a search for {hashtag} on X, by its API ({server})",
        }.get(str(kind), f"a source of the kind “{escape(str(kind))}”")
        return where + _period(asked.get("since"), asked.get("until"))

    def _completeness(self) -> str:
        coverage = self._tally.coverage
        if coverage.collected_completely:
            if self._is_sample or not self._asked:
                return ""
            one = len(self._asked) == 1
            return "The source was read to its end." if one else "All sources were read to their end."
        if not coverage.incomplete:
            return "Whether the posts are all there is not known."
        titles = {str(each.get("title")): each["asked"] for each in self._records if "asked" in each}
        told = []
        for each in coverage.incomplete:
            asked, (source, reason) = titles.get(each.source), without_paths(each)
            told.append(f"{self._source(asked) if asked else escape(source)} ({escape(reason)})")
        return f"**The posts are not all there.** Not read to the end: {'; '.join(told)}."

    def _authors(self) -> str:
        kept = self._run.asked.get("keep_authors")
        if kept is None or self._is_sample or not any(each.get("kind") != "folder" for each in self._asked):
            return ""
        if kept:
            return "Names of authors were stored."
        return "Names of authors were replaced by pseudonyms when posts were stored, by a key that belongs to the run."

    def _pictures(self) -> list[str]:
        coverage = self._tally.coverage
        if not coverage.attachments:
            return ["No post has a picture attached."]
        if not coverage.had:
            return [f"{escape(none_had(coverage))}."]
        lost = coverage.attachments - coverage.had
        if coverage.attachments == 1:
            had = "The one attachment could be had."
        elif not lost:
            had = f"All {coverage.attachments:,} attachments could be had."
        else:
            missing = escape(became(coverage.missing))
            had = (
                f"Of {coverage.attachments:,} attachments, {coverage.had:,} ({percent(coverage.share)}) could be had. "
                + (f"The other one {missing.removeprefix('1 ')}." if lost == 1 else f"Of the others, {missing}.")
            )
        return [sentences(had, self._downloaded(), self._files(), self._opted_out())]

    def _downloaded(self) -> str:
        if self._times.downloaded is None:
            return ""
        files = [each.value == LOCAL_FILE for each in self._tally.coverage.hosts if each.had]
        how = "downloaded" if not any(files) else "read" if all(files) else "downloaded, or read where they are files,"
        which = verb(self._tally.coverage.had, "The photo was", "The photos were")
        days = between(*self._times.downloaded)
        return f"{which} {how} {days}, and decoded to the end so as to leave out what is cut short."

    def _files(self) -> str:
        coverage = self._tally.coverage
        aside = coverage.images_not_classified
        if coverage.had == 1:
            files = ""
        elif coverage.images == coverage.had:
            files = f"The {coverage.had:,} photos are all different image files."
        elif coverage.images == 1:
            files = f"The {coverage.had:,} photos are one and the same image file."
        else:
            files = f"The {coverage.had:,} photos are {coverage.images:,} different image files."
        if not aside:
            return files
        which = f"{many(aside, 'image file')} {be(aside)}" if coverage.images > 1 else "It was"
        return sentences(files, f"{which} not classified (new since, gone, or damaged).")

    def _opted_out(self) -> str:
        """Whether servers were heeded that ask machines to leave pictures alone; nothing where none was asked."""
        servers = any(each.value not in (LOCAL_FILE, NO_HOST) for each in self._tally.coverage.hosts)
        if self._is_sample or not servers:
            return ""
        heeded = self._run.stages.get("download", {}).get("opt_outs_heeded")
        if heeded is None:
            return ""
        if heeded:
            return "Pictures that their server asks machines to leave alone were left out."
        return "Servers’ requests that machines leave pictures alone were not heeded."

    # How it was classified

    def _classification(self) -> list[str]:
        tally, labels = self._tally, self._labels
        if not tally.images:
            return []
        zero_shot = self._cite("Radford et al. 2021")
        classes = [
            f"- “{escape(each.title)}”: {listed(f'“{escape(prompt)}”' for prompt in each.prompts)}"
            for each in labels.classes
        ]
        question = f"The question was “{escape(labels.question)}”, with"
        if labels.name.startswith(ASKED):  # nobody put it in words
            question = "There were"
        templates = [f"“{escape(each)}”" for each in labels.templates]
        around = f"the template {templates[0]}"
        if len(templates) > 1:
            around = f"each of {in_words(len(templates))} templates, whose vectors were averaged: {listed(templates)}"
        scale = self._model.get("logit_scale")
        scaled = f" times the model’s scale of {scale:.2f}" if isinstance(scale, float) else ""
        of_class = "the logarithm of the mean of its prompts’ exponentials"
        if all(len(each.prompts) == 1 for each in labels.classes):
            of_class = "that of its prompt"
        return [
            sentences(
                f"Each image was classified zero-shot {zero_shot} with {self._which_model()}.",
                self._weights(),
                self._computed(),
            ),
            f"{question} these classes and prompts (label set {escape(tally.labels_key)}):",
            "\n".join(classes),
            f"A prompt stands in the place of {{}} in {around}. The score of a prompt is the cosine of its vector and "
            f"the image’s{scaled}; that of a class is {of_class}, and probabilities are the softmax over the classes. "
            + (
                f"An image whose two most probable classes are less than {100 * tally.margin:g} points apart counts as "
                "unsure."
                if tally.margin
                else "No margin was set below which an image counts as unsure."
            ),
            self._precision(),
        ]

    def _computed(self) -> str:
        precision, devices = self._tally.precision, self._tally.devices
        how = f" in {escape(precision)}" if precision else ""
        how += f" on {escape(listed(devices))}" if devices else ""
        pixels = _pixels(self._model.get("preprocessing", {}).get("size"))
        if pixels:
            how += f"{',' if how else ''} from images resized to {pixels}"
        return f"Vectors were computed{how}." if how else ""

    @property
    def _preset(self) -> str | None:
        """The preset that the model is; None for any other, be it in a folder of the same name."""
        name = str(self._model.get("name"))
        return name if name in presets() and self._model.get("licence") else None

    def _which_model(self) -> str:
        architecture, weights = str(self._model.get("open_clip") or ""), self._model.get("weights")
        if self._preset and architecture == "local-dir":
            named = f"the model “{self._preset}” that hashtag-photos brings along"
        elif architecture in ("", "local-dir"):
            named = f"the model “{escape(self._tally.model)}”"
        else:
            work = _work_on(architecture)
            named = f"the model {escape(architecture)}{f' {self._cite(work)}' if work else ''}"
            named += f" with the weights “{escape(str(weights))}”" if weights else ""
        return f"{named}, in OpenCLIP {self._cite('Ilharco et al. 2021')}"

    def _weights(self) -> str:
        """Which weights these were, to the letter."""
        model = self._model
        told = []
        if model.get("hub"):
            commit = f" at commit {escape(str(model['hub_commit'])[:_SHORT])}" if model.get("hub_commit") else ""
            told.append(f"are those of {escape(str(model['hub']))} on the Hugging Face hub{commit}")
        if model.get("weights_sha256"):
            told.append(f"have the sha256 {escape(str(model['weights_sha256'])[:_SHORT])}…")
        key = f"the key of model and precision is {escape(self._tally.model_key)}"
        return f"Its weights {listed(told)}; {key}." if told else f"{_capital(key)}."

    def _precision(self) -> str:
        check, tally = self._tally.check, self._tally
        if check is None:
            if tally.precision in (None, "fp32"):
                return ""
            return f"No image was computed in fp32 as well, so what {escape(str(tally.precision))} changes is unknown."
        differ = check.labels_differing
        labels = (
            "no label differs" if not differ else f"{many(differ, 'label')} {'differs' if differ == 1 else 'differ'}"
        )
        return (
            f"Of {many(check.images, 'image')} that {be(check.images)} computed in fp32 as well, {labels}, and no "
            f"probability differs by more than {at_most(check.largest_change)} points. To be safe, labels with a "
            f"{open_labels(check, tally.margin)} should be taken as open: those of {check.images_within:,} of "
            f"{many(tally.images, 'image')}."
        )

    @property
    def _grouped(self) -> bool:
        """Whether near-duplicates were looked for."""
        used = self._run.used("duplicates", self._tally.model_key)
        return used is not None or self._tally.pictures < self._tally.images

    def _duplicates(self) -> list[str]:
        tally = self._tally
        if not tally.images:
            return []
        if not self._grouped:
            return ["Near-duplicates were not looked for; each image counts as a picture of its own."]
        if tally.not_compared >= tally.images:
            return [
                "Near-duplicates were not looked for, since an older version downloaded the images; each counts as a "
                "picture of its own."
            ]
        rule = (self._run.used("duplicates", tally.model_key) or {}).get("rule")
        star = f"one image {self._cite('Aslam, Pelekhov and Rus 2004')}"
        how = (
            "Images that show the same picture (saved again, resized, cut or framed a little, or with a strip of text) "
            "were grouped: perceptual hashes propose pairs, which thumbnails, compared block by block, and the model’s "
            f"vectors confirm; each group is a star around {star}{f', by rule {rule} of the program' if rule else ''}."
        )
        if tally.images == tally.pictures:
            found = "None were found: every image is a picture of its own." if tally.images > 1 else ""
        else:
            found = f"The {many(tally.images, 'image')} are {many(tally.pictures, 'distinct picture')}."
        older = ""
        if tally.not_compared:
            older = (
                f"{many(tally.not_compared, 'image')} that an older version downloaded could not be compared and "
                f"{'counts' if tally.not_compared == 1 else 'count'} as "
                f"{'a picture of its own' if tally.not_compared == 1 else 'pictures of their own'}."
            )
        return [sentences(how, found, older)]

    # What people said

    def _hand_labels(self) -> list[str]:
        review, agreed = self._tally.review, self._tally.agreement
        paragraphs = []
        if review.drawn:
            paragraphs.append(self._drawn())
        if review.by_hand:
            chosen = many(review.by_hand, "picture")
            paragraphs.append(
                f"{chosen} {be(review.by_hand)} chosen and labelled by hand without being drawn: "
                f"{'it counts' if review.by_hand == 1 else 'they count'} for agreement alone, and for no share."
            )
        if agreed:
            paragraphs.append(self._agreement())
            paragraphs.append(self._model_agreement())
        return paragraphs

    def _drawn(self) -> str:
        review = self._tally.review
        drawn = review.drawn or 0
        self._cite("Ohlsson 1995")
        sample = (
            f"For labelling by hand {many(drawn, 'picture')} {be(drawn)} drawn at random, stratified by predicted "
            "class, by how near the two best classes are and by how widely the picture was posted. The random order "
            "depends on a stored seed and the picture alone (permanent random numbers; Ohlsson 1995)."
        )
        if not review.labelled:
            return sentences(sample, "No label is in use yet.")
        them = f"all {review.labelled:,}" if review.labelled == drawn and drawn > 1 else f"{review.labelled:,}"
        who = _capital(people(review.coders)) if review.coders else "People"
        who = f"Between them, {people(review.coders)}" if review.coders > 1 else who
        by, two = ("was", "were"), "both" if review.coders == 2 else "two people or more"
        counts = [
            (review.doubles, *(f"{each} labelled by {two}" for each in by)),
            (review.skipped, *(f"{each} skipped" for each in by)),
            (review.gaps, *(f"{each} passed over" for each in by)),
            (review.disputed, "is disputed and not settled", "are disputed and not settled"),
        ]
        told = [f"{count:,} {one if count == 1 else more}" for count, one, more in counts if count]
        unused = review.merged + review.gone
        is_, it = ("is", "a picture") if unused == 1 else ("are", "pictures")
        return sentences(
            sample,
            f"{who} labelled {them} of them by the question “{escape(self._labels.question)}”. The page for this shows "
            "neither what the model said, nor the post, nor what others said.",
            f"Of the pictures, {listed(told)}." if told else "",
            f"{many(unused, 'label')} {is_} not used, of {it} that {is_} one with another by now or no longer "
            f"{'counts' if unused == 1 else 'count'}."
            if unused
            else "",
            f"{many(review.uncovered, 'picture')} came after the draw and could not be drawn."
            if review.uncovered
            else "",
        )

    def _agreement(self) -> str:
        agreed = self._tally.agreement
        assert agreed is not None
        indices = [
            ("Cohen’s kappa", "Cohen 1960", agreed.kappa),
            ("Krippendorff’s alpha", "Krippendorff 2011", agreed.alpha),
            ("Gwet’s AC1", "Gwet 2008", agreed.ac1),
        ]
        told = [f"{name} {self._cite(work)} is {_index(each)}" for name, work, each in indices if each]
        if told:
            return f"Agreement between people, before anything was settled: {listed(told)}."
        reason = agreed.reasons.get("coders") or next(
            (agreed.reasons[name] for name in ("alpha", "kappa", "ac1") if name in agreed.reasons), ""
        )
        return f"Agreement between people was not computed: {escape(_fact(reason))}." if reason else ""

    def _model_agreement(self) -> str:
        agreed = self._tally.agreement
        model = agreed.model if agreed else None
        if model is None:
            return ""
        right = sum(model.counts[name].get(name, 0) for name in model.counts)
        told = []
        for each in model.classes:
            both = ("recall", each.recall, each.recall_n), ("precision", each.precision, each.precision_n)
            rates = [
                f"{rate} {_ends(found.value, found.low, found.high)} of {many(n, 'picture')}"
                for rate, found, n in both
                if found
            ]
            if rates:
                told.append(f"“{self._titles[each.label]}”: {listed(rates)}")
        by_hand = f", {model.by_hand:,} of them chosen by somebody" if model.by_hand and model.weighted else ""
        weighted = (
            "weighted to stand for all pictures" if model.weighted else "of chosen pictures, which stand for no others"
        )
        return sentences(
            f"The model’s label is that of people in {right:,} of {many(model.n, 'picture')} with an undisputed "
            f"label{by_hand}.",
            f"By class, with {INTERVAL}s in brackets and {weighted}: {'; '.join(told)}." if told else "",
            f"Its probabilities are off by {100 * model.calibration_error:.1f} points on average (expected calibration "
            f"error, from {many(model.rests_on, 'picture')}).",
        )

    # How shares were made of it

    def _estimation(self) -> list[str]:
        tally = self._tally
        if not tally.pictures:
            return []
        by = ["image", "photo in a post", "post (each divided evenly among its pictures)"]
        if tally.number(RAW, tally.classes[0].label, ENGAGEMENT):
            by.append("the likes, reposts and replies of posts")
        wilson, kish = self._cite("Wilson 1927"), self._cite("Kish 1965")
        raw = (
            "A distinct picture counts once, by the image that stands for its group; shares are also given "
            f"{listed(f'by {each}' for each in by)}. Raw shares are those of the "
            f"model’s labels. They have 95{PERCENT} score intervals {wilson} at the effective sample size {kish}, "
            "groups of near-duplicates being clusters. These intervals take the images as a random sample and the "
            "labels as right."
        )
        bounds = [each for each in tally.numbers if each.kind == "bound"]
        worst = (
            f"For attachments that could not be had or classified, worst-case bounds {self._cite('Manski 1989')} say "
            "between what the share lies whatever they show."
            if bounds
            else ""
        )
        timeline = tally.timeline
        over_time = ""
        if len(timeline.bins) > 1:
            unit = timeline.unit if timeline.unit[:1].isdigit() else f"one {timeline.unit}"
            first, strays = date.fromisoformat(timeline.bins[0].start[:10]), timeline.before + timeline.after
            outside = f", outside of which {be(strays)} {many(strays, 'post')}" if strays else ""
            over_time = (
                f"Over time, shares of posts are given in {len(timeline.bins):,} bins of {escape(unit)} from "
                f"{day(first)} on (UTC){outside}."
            )
        return [raw, self._correction(), sentences(worst, over_time)]

    def _correction(self) -> str:
        if not self._corrected:
            refused = self._tally.review.refused.get(PICTURES)
            if self._tally.review.drawn and refused:
                return f"No share is corrected for the model’s errors: {escape(_fact(refused))}."
            return "No share is corrected for the model’s errors, since no sample was labelled by hand."
        found = {each.method for own in self._corrected.values() for each in own}
        told = []
        survey = self._cite("Särndal, Swensson and Wretman 1992") if found - {CENSUS} else ""
        if _PPI in found:
            ppi = self._cite("Angelopoulos, Duchi and Zrnic 2023", "Fisch et al. 2024")
            folds = self._cite("Zrnic and Candès 2024")
            told.append(
                "Corrected shares estimate what people would have said of every picture, from the hand labels and the "
                f"model’s probabilities for all pictures, by stratified prediction-powered inference {ppi}, which "
                f"survey statistics knows as the difference estimator {survey}. A temperature that scales the "
                f"probabilities is fitted to the labels in five folds, so that no label judges itself {folds}."
            )
        if _STRATA in found:
            told.append(
                "Corrected shares estimate what people would have said of every picture. With fewer than 50 labels "
                f"they are made of these and the strata alone, by post-stratification {survey}."
            )
        if found - {CENSUS}:
            t = self._cite("Korn and Graubard 1998", "Dean and Pagano 2015")
            told.append(
                f"Their 95{PERCENT} intervals have Wilson’s form at the effective size, with Student’s t {t}. They "
                "allow for errors that go one way and for such as were not seen, and count what is skipped, disputed "
                "or not covered as the worst that it can be."
            )
        counted = [unit for unit, own in self._corrected.items() if own[0].method == CENSUS]
        if counted:
            where = "" if len(counted) == len(self._corrected) else f" in {listed(counted)}"
            told.append(
                f"Every picture that weighs anything{where} was labelled, so that these shares are counted and have no "
                "interval."
            )
        if any(each.measure in (DIFFERENCE, RATIO) and each.method != CENSUS for each in self._tally.numbers):
            mover = self._cite("Zou and Donner 2008")
            told.append(
                "Intervals of differences and ratios of two classes are made of the two intervals and the correlation "
                f"of their errors {mover}."
            )
        return sentences(*told)

    # What came out

    def _results(self) -> list[str]:
        tally = self._tally
        if not tally.pictures:
            return ["No picture could be classified, so there are no shares."]
        paragraphs = []
        counted = all(own[0].method == CENSUS for own in self._corrected.values())
        if self._corrected:
            refused = [
                f"None could be given in {unit}: {escape(_fact(why))}."
                for unit, why in tally.review.refused.items()
                if unit not in self._corrected
            ]
            paragraphs.append(
                sentences(
                    "**Counted**, as people labelled pictures:" if counted else "**Corrected** for the model’s errors:",
                    *(self._told(own, first=place == 0) for place, own in enumerate(self._corrected.values())),
                    self._apart(),
                    *refused,
                )
            )
        raw = [
            own
            for unit in UNITS
            if (own := [each for name in tally.classes if (each := tally.number(RAW, name.label, unit))])
        ]
        paragraphs.append(
            sentences(
                "**Raw**, as the model labels pictures:",
                *(self._told(own, first=counted and place == 0) for place, own in enumerate(raw)),
            )
        )
        paragraphs.append(sentences(self._bounds(), self._without_words(), self._wordings()))
        return paragraphs

    def _told(self, shares: Sequence[Number], *, first: bool) -> str:
        """The shares of the classes in one unit, as a sentence."""
        whole = Whole(shares[0].unit, shares[0].of)
        told: list[str] = []
        shown = False
        for each in shares:
            if each.label == UNSURE and not each.value:
                continue
            share = share_with_ends(each, first=first and not told)
            if each.label == UNSURE or not shown:
                told.append(f"{share} {whole.are(each.label, self._titles[each.label])}")
                shown = shown or each.label != UNSURE
            else:
                to = "to " if each.unit == ENGAGEMENT else ""
                told.append(f"{share} {to}“{self._titles[each.label]}”")
        return f"Of {whole.named}, {listed(told)}."

    def _apart(self) -> str:
        apart, ratio = self._tally.compared(DIFFERENCE), self._tally.compared(RATIO)
        if apart is None or apart.value is None or apart.high is None or apart.versus is None:
            return ""
        first, second = f"“{self._titles[apart.label]}”", f"“{self._titles[apart.versus]}”"
        counted = apart.method == CENSUS
        if counted and not apart.value:
            return f"Among pictures, {first} and {second} have the same share."
        value, low, high = percents(apart.value, apart.low, apart.high)
        if counted:
            value = exactly(apart.value)
        points = f"{value} points" if value != "1" else "1 point"
        told = (
            f"Among pictures, the share of {first} is {points}{'' if counted else f' ({low} to {high})'} above that of "
        )
        told += second
        if ratio and ratio.value is not None:
            told += f", or {times(ratio, interval=not counted).replace(' (95 % interval ', ' (')} times it"
        if apart.probability is not None:
            told += f"; the probability that it is larger is {chance(apart.probability)}"
        return f"{told}."

    def _bounds(self) -> str:
        tally = self._tally
        labels = self._labels.class_names
        bounds = missing_bounds(tally, labels, corrected=True) or missing_bounds(tally, labels, corrected=False)
        lost = tally.coverage.attachments - tally.photos
        if not bounds or not lost:
            return ""
        whole = many(bounds[0].of, "attachment")
        census = all(own[0].method == CENSUS for own in self._corrected.values())
        sure = with_the_others(bounds[0], counted=census)
        return (
            f"Whatever the {many(lost, 'attachment')} {verb(lost, 'shows', 'show')} that could not be had or "
            f"classified, of all {whole} {bounds_in_words(bounds, self._titles)}, {sure}."
        )

    def _without_words(self) -> str:
        without = self._tally.without_text
        if not without or not without.text:
            return ""
        titles = {each.name: each.title for each in find_labels(KINDS).classes}
        kinds = listed(f"“{titles.get(kind, kind)}”" for kind in without.text_kinds)
        images = many(self._tally.images, "image")
        takes = f"The same model takes {without.text:,} of {images} for pictures of words ({kinds})"
        if not without.images:
            return f"{takes}."
        told = [
            f"{percent(each.share)} ({100 * each.low:.1f} to {100 * each.high:.1f}) “{self._titles[each.label]}”"
            for each in without.classes
            if each.share is not None and (each.label != UNSURE or each.images)
        ]
        return f"{takes}; raw shares of the other {without.images:,} are {listed(told)}."

    def _wordings(self) -> str:
        tally = self._tally
        kinds = tally.kinds_compared
        if not kinds:
            return "How far the shares hang on the wording of the prompts was not computed."
        how = [
            words
            for kind, words in ((TEMPLATE, "each template alone"), (WITHOUT_PROMPT, "each prompt left out"))
            if kind in kinds
        ]
        moves = [
            f"“{self._titles[each.label]}” by up to {points(tally.largest_move(each.label)).lstrip('+')}"
            for each in tally.classes
            if tally.largest_move(each.label)
        ]
        with_ = f"With {listed(how)}, "
        if not moves:
            return f"{with_}no raw share of images changes."
        return sentences(
            f"{with_}the raw shares of images change, in points: {listed(moves)}.",
            sensitive_to_prompts(tally, self._titles) or "None leaves its interval.",
        )

    # What to keep in mind, and what to cite

    def _limits(self) -> list[str]:
        tally, coverage = self._tally, self._tally.coverage
        review = tally.review
        counted = bool(self._corrected) and all(own[0].method == CENSUS for own in self._corrected.values())
        told = []
        if coverage.incomplete and coverage.posts:
            told.append("The collection is not complete: what is counted is what was collected, and not the whole.")
        if any(each.get("hashtag") for each in self._asked):
            told.append(
                "What was collected is what servers gave: deleted posts leave no trace, and what a search leaves out "
                "can’t be seen."
            )
        if tally.pictures and not counted:
            told.append(
                "Probabilities of a zero-shot model are scores, not truth; such models have biases, and words in a "
                "picture can decide its label."
            )
        if tally.pictures and not self._corrected:
            told.append("The model’s errors are in none of the intervals, and can be larger than these.")
        if tiny := tiny_caution(self._run, tally):
            told.append(tiny)
        if self._corrected:
            told.append("Shares that rest on hand labels take people as right, but for what they disagree on.")
            warnings = dict.fromkeys(
                warning for own in self._corrected.values() for each in own for warning in each.warnings
            )
            told += [f"{_capital(escape(_fact(warning)))}." for warning in warnings]
        elif review.labelled and review.coders == 1:
            told.append("One person alone labelled the sample.")
        if tally.pictures and self._grouped:
            told.append(
                "Near-duplicates are judged by thumbnails: pictures that differ in less than these show count as one, "
                "and crops that these don’t join as several."
            )
        return [" ".join(told)] if told else []

    def _software(self) -> list[str]:
        computed: dict[str, list[str]] = {}
        for each in self._model.get("software", ()):
            for name, version in each.items():
                if version not in computed.setdefault(name, []):
                    computed[name].append(version)
        own = metadata.version("hashtag-photos")
        versions = [
            f"{escape(_SPELLED.get(name, name))} {escape(listed(each))}"
            for name, each in computed.items()
            if name not in _OF_SOURCES and (name != "hashtag-photos" or each != [own])
        ]
        return [
            sentences(
                f"Counted by hashtag-photos {own}; its docs/STATISTICS.md has the formulas, and simulations of how far "
                "they hold.",
                f"Vectors were computed in an environment of {listed(versions)}." if versions else "",
            )
        ]

    def _how_to_cite(self) -> list[str]:
        if not self._tally.images:
            return ["Please cite the program:", f"> {software()}"]
        architecture = str(self._model.get("open_clip") or "")
        cited = ["the program", "OpenCLIP (Ilharco et al. 2021)"]
        if own := _work_on(architecture):
            cited.append(f"the model ({own})")
        elif architecture not in ("", "local-dir"):
            cited.append("the model as its authors ask")
        statistics = "for the intervals Wilson (1927)"
        if any(own[0].method == _PPI for own in self._corrected.values()):
            statistics = "for the corrected shares Angelopoulos, Duchi and Zrnic (2023)"
        return [f"Please cite {', '.join(cited)}, and {statistics}. The program:", f"> {software()}"]


def _work_on(architecture: str) -> str | None:
    """The work to cite for models of an architecture, where it is known."""
    return next((work for start, work in _MODELS.items() if architecture.startswith(start)), None)


def _period(since: str | None, until: str | None) -> str:
    """What period was asked for, until before its end; with what comes before it."""
    first = datetime.fromisoformat(since).astimezone(UTC) if since else None
    end = datetime.fromisoformat(until).astimezone(UTC) if until else None
    midnight = datetime.min.time()
    if all(each is None or each.time() == midnight for each in (first, end)):
        last = end.date() - timedelta(days=1) if end else None
        if first and last:
            begin, finish = days(first.date(), last)
            told = f"on {finish}" if first.date() == last else f"from {begin} to {finish}"
            return f", asked for posts {told} (UTC)"
        if first:
            return f", asked for posts from {day(first)} on (UTC)"
        return f", asked for posts up to {day(last)} (UTC)" if last else ""
    times = [f"{word} {day(each)}, {each:%H:%M}" for word, each in (("from", first), ("before", end)) if each]
    return f", asked for posts {' and '.join(times)} (UTC)"


def _pixels(size: Any) -> str:
    sides = list(size) if isinstance(size, Iterable) and not isinstance(size, str) else [size, size]
    return f"{sides[0]} by {sides[-1]} pixels" if all(isinstance(each, int) for each in sides) and sides else ""


def _index(agreed: Agreed) -> str:
    ends = f"{agreed.low:.2f} to {agreed.high:.2f}".replace("-", "\N{MINUS SIGN}")
    value = f"{agreed.value:.2f}".replace("-", "\N{MINUS SIGN}")
    return f"{value} ({INTERVAL} {ends}; {people(agreed.coders)}, {many(agreed.n, 'picture')})"


def _ends(*share: float) -> str:
    value, low, high = percents(*share)
    return f"{value}{PERCENT} ({low} to {high})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fact(warning: str) -> str:
    """What is to be careful of, without what is to be done about it, which is not for a paper."""
    return re.sub(r"[;:] (?:label|draw|settle|have|ask|go on|publish|hashtag-photos) .*$", "", warning)

"""From a live bundle and what people said to a candidate: the detectors that were wrong are taught, the rest stays.

Owns which detector is taught what, and what the candidate says of itself. Whether it may go live is the gate's to say.
Calibrations, weights and thresholds stay: they are what "strange" means, and a click is no reason to change that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import orjson

from models.bundle import CARD, TEMPLATES, Bundle, Manifest
from models.judge import Judge
from models.registry import TIMEFRAME
from models.sample import REPLAY
from models.spool.reader import Spooled
from training.card import write_card
from training.learning.answers import Answer, taught
from training.learning.simple import SIMPLE
from training.learning.teachers import TEACHERS
from training.learning.teaching import Learned, Live, Part
from training.learning.traffic import rehearsed
from training.progress import Progress, silent
from training.rehearsal import without_held

LESSONS = "lessons"
"""In a manifest's provenance: ids of all answers that the version learned, those of its parents included."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a candidate is to be called: ``version``, made at ``created`` (seconds since the epoch), with the template
    ``tree`` as the service has it now (a snapshot; None: the live bundle's own)."""

    version: str
    created: float
    tree: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that is yet to pass the gate; ``learned``: the answers that it quiets, ``left``: false alarms that
    still ring by it, whose rules have to stay."""

    bundle: Bundle
    learned: tuple[Answer, ...]
    left: tuple[Answer, ...]

    @property
    def networks(self) -> frozenset[str]:
        """Detectors that were taught by steps. Where the gate turns a candidate back it is these that moved what nobody
        spoke of: another try without them keeps what is learned by insertion."""
        return frozenset(self.bundle.manifest.metrics["learned"]) - frozenset(SIMPLE)


def learn(
    live: Bundle,
    answers: Sequence[Answer],
    name: Version,
    *,
    spooled: Spooled | None = None,
    seed: int = 0,
    progress: Progress = silent,
    without: Collection[str] = (),
) -> Candidate | None:
    """Teach the detectors of ``live`` but for those in ``without``; None where no answer changes any of them.

    A candidate whose ``learned`` is empty holds nothing new.

    ``answers``: the new false alarms, and all real anomalies that are to keep ringing. ``spooled``: live traffic, of
    which the normal part is rehearsed. Raises BundleError where the live bundle lacks what its detectors would go on
    from, DataError where a graph cannot be exported.
    """
    judge = live.judge()
    traffic = rehearsed(live, judge, answers, spooled, seed)
    chosen = list(answers)
    left: tuple[Answer, ...] = ()
    while True:
        files, changed = _taught(live, judge, traffic, chosen, seed, progress, without)
        if not changed:
            return Candidate(live, (), left) if left else None
        draft = _sealed(live, changed, files, name, ())
        quiet, loud = _heard(draft, [answer for answer in chosen if answer.wrong])
        if not loud:
            return Candidate(_sealed(live, changed, files, name, quiet), quiet, left)
        # What cannot be learned must not be learned by half: the others are taught again without it.
        left += loud
        chosen = [answer for answer in chosen if answer not in loud]


def bar_of(bundle: Bundle, judge: Judge, detector: str) -> float:
    """The raw output from which on a detector's output counts: as evidence, or alone where it is a witness."""
    frames = bundle.frame_judge() if detector == TIMEFRAME else None
    if frames is not None:
        return frames.threshold
    calibration = judge.ensemble.calibrations.get(detector)
    if calibration is None:
        return float(bundle.manifest.metrics["thresholds"][detector])
    return calibration.bar(judge.ensemble.floor)


def still_rings(bundle: Bundle, judge: Judge, answer: Answer) -> bool:
    """Whether what a false alarm silenced would ring again by ``bundle`` and its ``judge``."""
    if judge.lesson_evidence(answer.wrong) >= judge.ensemble.threshold:
        return True
    frames = bundle.frame_judge()
    return frames is not None and bool((frames.lesson_raws(answer.wrong) >= frames.threshold).any())


def _taught(
    live: Bundle,
    before: Judge,
    traffic: Live,
    answers: Sequence[Answer],
    seed: int,
    progress: Progress,
    without: Collection[str],
) -> tuple[dict[str, bytes], dict[str, Learned]]:
    """All files after teaching, and the detectors that changed."""
    files, changed = dict(live.files), {}
    if REPLAY in files:
        files[REPLAY] = without_held(files[REPLAY], before.width)
    for detector, teach in TEACHERS.items():
        taking_part = detector in live.manifest.detectors and detector not in without
        lessons = taught(answers, detector) if taking_part else []
        if not any(lesson.normal for lesson in lessons) and not _learns_from_anomalies(detector, lessons):
            continue
        began = perf_counter()
        part = Part(detector, live.manifest.detectors[detector], files, bar_of(live, before, detector), traffic)
        learned = teach(part, lessons, seed, progress)
        if learned is not None:
            files |= learned.files
            changed[detector] = replace(learned, told={**learned.told, "seconds": round(perf_counter() - began, 2)})
    return files | {REPLAY: live.files[REPLAY]} if REPLAY in files else files, changed


def _learns_from_anomalies(detector: str, lessons: Sequence[object]) -> bool:
    """CLDTLog alone is supervised: real anomalies teach it without any false alarm."""
    return detector == "cldtlog" and bool(lessons)


def _heard(draft: Bundle, answers: Sequence[Answer]) -> tuple[tuple[Answer, ...], tuple[Answer, ...]]:
    judge = draft.judge(exemplar_of=_exemplars(draft))
    rings = [still_rings(draft, judge, answer) for answer in answers]
    quiet = tuple(answer for answer, loud in zip(answers, rings, strict=True) if not loud)
    return quiet, tuple(answer for answer, loud in zip(answers, rings, strict=True) if loud)


def _exemplars(bundle: Bundle) -> Any:
    tree = bundle.tree()
    return lambda template_id: tree.template(template_id).exemplar


def _sealed(
    live: Bundle, changed: Mapping[str, Learned], files: dict[str, bytes], name: Version, quiet: Sequence[Answer]
) -> Bundle:
    old = live.manifest
    tree = name.tree if name.tree is not None else orjson.loads(live.files[TEMPLATES])
    detectors = {detector: dict(settings) for detector, settings in old.detectors.items()}
    detectors |= {detector: learned.settings for detector, learned in changed.items()}
    known = list(old.provenance.get(LESSONS, []))
    manifest = Manifest(
        source=old.source,
        version=name.version,
        created=name.created,
        parent=old.version,
        tree_id=str(tree["tree_id"]),
        tree_version=int(tree["version"]),
        session=old.session,
        detectors=detectors,
        ensemble=old.ensemble,
        provenance={**old.provenance, LESSONS: [*known, *(answer.id for answer in quiet)]},
        metrics={
            **{part: told for part, told in old.metrics.items() if part != "gate"},
            "learned": {detector: learned.told for detector, learned in changed.items()},
        },
    )
    every = {**files, TEMPLATES: orjson.dumps(tree)}
    every[CARD] = write_card(manifest).encode()
    return Bundle.seal(manifest, every)

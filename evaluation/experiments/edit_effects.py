"""Whether an edit changed the requested finding and nothing else: labels, vessels, optic disc and pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from evaluation.data.photographs import Photographs
from evaluation.errors import NotMeasurable
from evaluation.experiments.edits import Change
from evaluation.measures.classifier import QUESTIONS
from evaluation.measures.judge import Judge
from evaluation.measures.statistics import Interval, bootstrap, bootstrap_within_source_auc
from evaluation.measures.vessels import dice, find_vessels
from evaluation.report_page.results import Cell, measured
from pipeline_synfundus.labels import EYE_SIDE, UNKNOWN
from synfundus.images import field_psnr
from synfundus.readability import find_anatomy


@dataclass(frozen=True)
class Originals:
    """The photographs of one change, with what is measured on them once.

    Attributes:
        photographs: those to edit.
        change: the finding.
        judge: a classifier of photographs of other patients.
        judged: the questions that it has learned; its other outputs are random.
    """

    photographs: Photographs
    change: Change
    judge: Judge
    judged: np.ndarray

    @cached_property
    def images(self) -> np.ndarray:
        """uint8, shape (N, S, S, 3)."""
        return self.photographs.images[:]

    @cached_property
    def answers(self) -> np.ndarray:
        """The judge's probabilities, shape (N, Q)."""
        return self.judge.predict(self.images)

    @cached_property
    def vessels(self) -> list[np.ndarray]:
        """Masks of vessels."""
        return [find_vessels(image) for image in self.images]

    @cached_property
    def discs(self) -> list[tuple[float, float] | None]:
        """Centres of the optic discs as (row, column) in pixels, None where none is found."""
        return find_discs(self.images, self.photographs.label(EYE_SIDE.name))


def find_discs(images: np.ndarray, sides: np.ndarray) -> list[tuple[float, float] | None]:
    """Centres of the optic discs as (row, column) in pixels, None where none is found.

    Args:
        images: uint8, shape (N, S, S, 3).
        sides: the eye side of each, shape (N,), -1 unknown.
    """
    found = [find_anatomy(image, int(side)) for image, side in zip(images, sides, strict=True)]
    return [anatomy.disc if anatomy is not None else None for anatomy in found]


@dataclass(frozen=True)
class Effect:
    """What one way to edit did to the photographs of one change; a measure that is not measurable is the reason.

    Attributes:
        asked: AUC between the edited and the original photographs by the judge's answer to the requested label, in the
            requested direction: 0.5 if the answers do not change, 1 if every edited one passes every original.
        others: mean over the other labels that the judge has learned of the same AUC's distance from 0.5, 0 to 0.5.
        vessel_dice: mean Dice of the vessels of the original and the edited image.
        disc_shift: median distance of the disc's centre, in percent of the image's side.
        psnr: mean peak signal-to-noise ratio to the original inside the field of view, in dB.
    """

    asked: Interval | str
    others: Interval | str
    vessel_dice: Interval | str
    disc_shift: Interval | str
    psnr: Interval | str

    def cells(self) -> list[Cell]:
        """The measures in the order of `MEASURES`."""
        return [self.asked, self.others, self.vessel_dice, self.disc_shift, self.psnr]


MEASURES = ("requested label, AUC", "other labels, |AUC - 0.5|", "vessels, Dice", "disc shift, %", "PSNR, dB")


def measure_effect(originals: Originals, edited: np.ndarray, seed: int) -> Effect:
    """Compares edited images with their originals; intervals are bootstraps by patient."""
    change, before, after = originals.change, originals.answers, originals.judge.predict(edited)
    others = [column for column in originals.judged if QUESTIONS[column][0] != change.label]
    masks = zip(originals.vessels, map(find_vessels, edited), strict=True)
    overlaps = np.array([dice(old, new) for old, new in masks])
    ratios = np.array([field_psnr(old, new) for old, new in zip(originals.images, edited, strict=True)])
    shifts = _disc_shifts(originals, edited)

    def asked(rows: np.ndarray) -> float:
        raised = _raised(before[rows], after[rows], [change.question])[0]
        return float(raised if change.after else 1 - raised)

    def others_changed(rows: np.ndarray) -> float:
        if not others:
            raise NotMeasurable("the classifier has learned no other label")
        return float(np.abs(_raised(before[rows], after[rows], others) - 0.5).mean())

    statistics: list[Callable[[np.ndarray], float]] = [
        asked,
        others_changed,
        lambda rows: float(overlaps[rows].mean()),
        lambda rows: _median(shifts[rows]),
        lambda rows: float(ratios[rows].mean()),
    ]
    patients = originals.photographs.patients
    return Effect(*(measured(bootstrap, each, patients, seed) for each in statistics))


def _raised(before: np.ndarray, after: np.ndarray, columns: list[int]) -> np.ndarray:
    """For each of these questions the AUC of the answers after an edit over those before, shape (len(columns),)."""
    count = len(before)
    ranks = rankdata(np.concatenate([before[:, columns], after[:, columns]]), axis=0)[count:].sum(axis=0)
    return (ranks - count * (count + 1) / 2) / count**2


def _disc_shifts(originals: Originals, edited: np.ndarray) -> np.ndarray:
    """The distance of the discs in percent of the image's side; NaN where one of both is not found. Shape (N,)."""
    after = find_discs(edited, originals.photographs.label(EYE_SIDE.name))
    shifts = [
        100 * np.hypot(old[0] - new[0], old[1] - new[1]) / edited.shape[1] if old and new else np.nan
        for old, new in zip(originals.discs, after, strict=True)
    ]
    return np.array(shifts)


def _median(values: np.ndarray) -> float:
    if np.isnan(values).all():
        raise NotMeasurable("no optic disc is found in both images")
    return float(np.nanmedian(values))


def attainable(judge: Judge, photographs: Photographs, change: Change, seed: int) -> Interval | str:
    """The judge's AUC within source between photographs with and without the finding: what a perfect edit reaches."""
    part = photographs[np.flatnonzero((photographs.label(change.label) != UNKNOWN) & photographs.readable())]
    if not len(part):
        return f"not measurable: no photograph has a known {change.label}"
    truth = (part.label(change.label) >= max(change.before, change.after)).astype(int)
    scores = judge.predict(part.images)[:, change.question]
    return measured(bootstrap_within_source_auc, truth, scores, part.sources, part.patients, seed)

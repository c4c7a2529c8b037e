"""What of a picture is clicked: a reward learned from pairs of pictures of one product.

Bradley and Terry's model: the chance that a click on either of two pictures, equally shown, falls
on the first is the logistic of the difference of their rewards. A reward is a sum over the values
of the style and ten numbers of the picture itself (:mod:`persona_img.imaging.picture_features`);
what all pictures of a product share drops out of the difference.

The learned judge chooses among candidates that passed the gate, which are all of one style; there
its numbers alone decide.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.special import expit, xlogy

from persona_img.domain.decision import uniform
from persona_img.domain.digest import digest_of
from persona_img.domain.style import Style
from persona_img.errors import InvalidInput, NotEnoughData, NotFound
from persona_img.imaging.picture_features import FEATURES, picture_features
from persona_img.ranking.linear import fit_logistic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from persona_img.ranking.base import Floats

LEAST_PAIRS, LEAST_PRODUCTS = 60, 12
"""Fewest labels, and products that have one, from which a judge is learned."""

_STYLE_SPREAD = 0.15
"""Expected spread of a style value's effect on the log of the click rate."""

_SPREADS = (0.003, 0.01, 0.03, 0.1, 0.2)
"""Spreads of a number's effect that are tried; under the first the numbers say next to nothing."""

_FOLDS = 4
"""Parts of the products, each held out once from a judge that is taught on the others."""

_DRAWS = 1000
_KIND = "picture reward"


@dataclass(frozen=True)
class RewardReport:
    """How well a learned judge orders pictures of products that it was not taught on.

    Attributes:
        labels: Pairs whose order is known.
        products: Products that these are of.
        accuracy: Share, 0..1, of the pairs whose order is said right by a judge that was taught on
            other products, a quarter of them held out at a time.
        style_accuracy: The same of judges that know only styles; a tie is half right.
        gain: ``accuracy`` less ``style_accuracy``.
        interval: 90 % interval of the gain, by drawing products again.
        spread: Expected effect of a number, one spread further, on the log of the click rate.
    """

    labels: int
    products: int
    accuracy: float
    style_accuracy: float
    gain: float
    interval: tuple[float, float]
    spread: float

    @property
    def helps(self) -> bool:
        """Whether pictures' numbers say more than their styles, for certain."""
        return self.interval[0] > 0


class PictureReward:
    """Predicted log click rate of a picture, up to what its product adds.

    Args:
        styles: ``attribute=value`` to its effect.
        effects: Name of a number to the effect of one spread of it.
        centre: Name of a number to its mean over the pictures learned from.
        scale: Name of a number to its usual spread within one product, > 0.

    Raises:
        InvalidInput: effects, centre or scale of other numbers than there are.

    References:
        Bradley and Terry 1952, Biometrika 39.

    Examples:
        >>> none, one = dict.fromkeys(FEATURES, 0.0), dict.fromkeys(FEATURES, 1.0)
        >>> lighter = PictureReward({}, none | {"lightness": 0.1}, one, one)
        >>> numbers = np.ones(len(FEATURES))
        >>> lighter.score(Style.of({"light": "soft"}), numbers + 1.0)
        0.1
    """

    def __init__(
        self,
        styles: Mapping[str, float],
        effects: Mapping[str, float],
        centre: Mapping[str, float],
        scale: Mapping[str, float],
    ) -> None:
        self.styles = dict(styles)
        for name, given in (("effects", effects), ("centre", centre), ("scale", scale)):
            if set(given) != set(FEATURES) or not all(map(math.isfinite, given.values())):
                raise InvalidInput(
                    f"{name} {dict(given)}: give a finite number for each of {', '.join(FEATURES)}"
                )
        if not all(value > 0 for value in scale.values()):
            raise InvalidInput(f"scale {dict(scale)}: spreads are above 0")
        self.effects, self.centre, self.scale = dict(effects), dict(centre), dict(scale)

    def score(self, style: Style, numbers: NDArray[np.float64]) -> float:
        """Reward of a picture that was measured before.

        Args:
            style: Its style; values that were never met add nothing.
            numbers: Of :func:`~persona_img.imaging.picture_features.picture_features`; what is NaN
                counts as usual.
        """
        found = [self.styles.get(f"{name}={value}", 0.0) for name, value in style.values.items()]
        for name, value in zip(FEATURES, numbers.tolist(), strict=True):
            if math.isfinite(value):
                found.append(self.effects[name] * (value - self.centre[name]) / self.scale[name])
        return math.fsum(found)  # the order of attributes is to play no part

    def reward(self, style: Style, picture: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> float:
        """Reward of a picture; see :class:`persona_img.rendering.base.PictureJudge`."""
        return self.score(style, picture_features(picture, alpha))

    def fingerprint(self) -> str:
        """Hex digest of everything a reward depends on besides its arguments."""
        return digest_of([_KIND, self._document()])

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all.

        Raises:
            InvalidInput: the file cannot be written.
        """
        path = Path(path)
        text = json.dumps({"kind": _KIND, **self._document()}, indent=1, sort_keys=True) + "\n"
        partial = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8")
            return partial.replace(path)
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be written ({error}); name another file") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The inverse of :meth:`save`: says the same.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it holds something else.
        """
        path = Path(path)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("kind") != _KIND:
                raise KeyError("kind")
            return cls(**found)
        except FileNotFoundError:
            raise NotFound(
                f"{path}: no such judge; make one with `persona-img train-chooser`, or unset "
                "[render] chooser"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path}: no judge of pictures ({error}); make one with `persona-img train-chooser`"
            ) from error

    def _document(self) -> dict[str, dict[str, float]]:
        return {
            "styles": self.styles,
            "effects": self.effects,
            "centre": self.centre,
            "scale": self.scale,
        }


def train_reward(
    pairs: pd.DataFrame, pictures: pd.DataFrame, *, seed: int = 0
) -> tuple[PictureReward, RewardReport]:
    """Learn a judge from labels, and judge what is learned on products that it never saw.

    How much a number may say follows the data: the spread whose judges predict other products best.
    The judges that are judged have chosen theirs without the products they are judged on. Which
    products are held out together depends on their names and the seed.

    Args:
        pairs: Of :func:`~persona_img.ranking.picture_pairs.picture_pairs`; pairs with a picture
            that is not in ``pictures`` are left out.
        pictures: Indexed by digest: ``style_key``, and one column for each of ``FEATURES``.
        seed: Of which products are held out together, and of the interval.

    Raises:
        NotEnoughData: fewer than 60 labels, or than 12 products that have one.
    """
    known = pairs["one"].isin(pictures.index) & pairs["other"].isin(pictures.index)
    pairs = pairs[known].sort_values(["product", "one", "other"]).reset_index(drop=True)
    products = sorted(pairs["product"].unique())
    if len(pairs) < LEAST_PAIRS or len(products) < LEAST_PRODUCTS:
        raise NotEnoughData(
            f"{len(pairs)} pairs of pictures whose order is sure, of {len(products)} products: a "
            f"judge is learned from {LEAST_PAIRS} pairs of {LEAST_PRODUCTS} products; wait for "
            "more impressions, or ask for fewer of each picture with --impressions"
        )
    drawn = sorted(products, key=lambda name: uniform("held out", str(seed), name))
    fold_of = {name: i % _FOLDS for i, name in enumerate(drawn)}
    fold = pairs["product"].map(fold_of).to_numpy(dtype=np.int64)
    data = _Data.of(pairs, pictures)
    right, plain = np.zeros(len(pairs)), np.zeros(len(pairs))
    for number in range(_FOLDS):
        held = fold == number
        effects = data.fit(~held, data.spread(fold, ~held))
        right[held] = data.right(effects, held)
        plain[held] = data.right(data.fit(~held, None), held)
    everything = np.ones(len(pairs), dtype=bool)
    spread = data.spread(fold, everything)
    gain, interval = _gain(pairs["product"].to_numpy(), right - plain, seed)
    report = RewardReport(
        labels=len(pairs),
        products=len(products),
        accuracy=float(right.mean()),
        style_accuracy=float(plain.mean()),
        gain=gain,
        interval=interval,
        spread=spread,
    )
    return data.judge(data.fit(everything, spread)), report


@dataclass(frozen=True, eq=False)
class _Data:
    """Labels as differences, one row each: values of styles, then numbers in spreads."""

    values: tuple[str, ...]
    centre: Floats
    scale: Floats
    columns: Floats
    share: Floats
    weight: Floats

    @classmethod
    def of(cls, pairs: pd.DataFrame, pictures: pd.DataFrame) -> _Data:
        used = sorted(set(pairs["one"]) | set(pairs["other"]))
        place = {digest: i for i, digest in enumerate(used)}
        one, other = (pairs[name].map(place).to_numpy() for name in ("one", "other"))
        told = [
            {f"{n}={v}" for n, v in Style(key).values.items()}
            for key in pictures.loc[used, "style_key"]
        ]
        values = tuple(sorted(set().union(*told)))
        shown = np.array([[value in one for value in values] for one in told], dtype=np.float64)
        raw = pictures.loc[used, list(FEATURES)].to_numpy(dtype=np.float64)
        centre = np.array([_mean(column) for column in raw.T])
        filled = np.where(np.isfinite(raw), raw, centre)
        apart = filled[one] - filled[other]
        # Two pictures differ by the square root of two times what one differs by.
        scale = np.sqrt((apart**2).mean(axis=0) / 2.0)
        scale = np.where(scale > 0, scale, 1.0)
        columns = np.hstack([shown[one] - shown[other], apart / scale])
        # Every picture is in several pairs; together they are to count what its clicks do.
        product = pairs["product"]
        ends = pd.concat([pairs[["product", "one"]].set_axis(["p", "d"], axis=1),
                          pairs[["product", "other"]].set_axis(["p", "d"], axis=1)])  # fmt: skip
        count = product.map(ends.groupby("p")["d"].nunique()).to_numpy(dtype=np.float64)
        clicks = pairs["clicks"].to_numpy(dtype=np.float64)
        share = pairs["share"].to_numpy(dtype=np.float64)
        return cls(values, centre, scale, columns, share, clicks * 2.0 / count)

    def fit(self, where: NDArray[np.bool_], spread: float | None) -> Floats:
        """Effects, one per column; of the numbers 0 where ``spread`` is None."""
        used = self._styles if spread is None else self.columns.shape[1]
        some = self.columns[where][:, :used]
        expected = np.full(used, _STYLE_SPREAD)
        if spread is not None:
            expected[self._styles :] = spread
        share, weight = self.share[where], self.weight[where]
        won, lost = share * weight, (1.0 - share) * weight
        # Each pair from both ends, half each: so there is no intercept to learn.
        effects, _ = fit_logistic(
            np.vstack([some, -some]),
            expected,
            np.concatenate([won, lost]) / 2.0,
            np.concatenate([lost, won]) / 2.0,
        )
        return np.concatenate([effects, np.zeros(self.columns.shape[1] - len(effects))])

    def spread(self, fold: NDArray[np.int64], where: NDArray[np.bool_]) -> float:
        """The expected spread whose judges predict held-out folds best, of some labels."""
        losses = [
            math.fsum(
                self.loss(self.fit(where & (fold != out), spread), where & (fold == out))
                for out in np.unique(fold[where])
            )
            for spread in _SPREADS
        ]
        return _SPREADS[int(np.argmin(losses))]

    def loss(self, effects: Floats, where: NDArray[np.bool_]) -> float:
        """Negative log-likelihood of labels."""
        chance = np.clip(expit(self.columns[where] @ effects), 1e-9, 1 - 1e-9)
        share, weight = self.share[where], self.weight[where]
        return float(-(weight * (xlogy(share, chance) + xlogy(1 - share, 1 - chance))).sum())

    def right(self, effects: Floats, where: NDArray[np.bool_]) -> Floats:
        """1 where the order is said right, 0 where wrong, one half where nothing is said."""
        said = np.sign(self.columns[where] @ effects) * np.sign(self.share[where] - 0.5)
        return np.asarray((said + 1.0) / 2.0, dtype=np.float64)

    def judge(self, effects: Floats) -> PictureReward:
        styles, numbers = effects[: self._styles].tolist(), effects[self._styles :].tolist()
        return PictureReward(
            dict(zip(self.values, styles, strict=True)),
            dict(zip(FEATURES, numbers, strict=True)),
            dict(zip(FEATURES, self.centre.tolist(), strict=True)),
            dict(zip(FEATURES, self.scale.tolist(), strict=True)),
        )

    @property
    def _styles(self) -> int:
        return len(self.values)


def _mean(column: Floats) -> float:
    seen = column[np.isfinite(column)]
    return float(seen.mean()) if seen.size else 0.0


def _gain(
    product: Sequence[str] | NDArray[np.object_], better: Floats, seed: int
) -> tuple[float, tuple[float, float]]:
    """Mean, and its 90 % interval by drawing whole products."""
    _, group = np.unique(np.asarray(product, dtype=str), return_inverse=True)
    total, count = np.bincount(group, better), np.bincount(group).astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(total), size=(_DRAWS, len(total)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.05, 0.95)).tolist()
    return float(better.mean()), (low, high)

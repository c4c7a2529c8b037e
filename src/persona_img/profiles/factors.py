"""Tastes as vectors: implicit ALS on who looked at, put in the cart and bought what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.linalg import matrix_rank
from scipy.linalg import orthogonal_procrustes
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from persona_img.errors import InvalidInput, NotEnoughData
from persona_img.profiles.base import KIND_WEIGHTS, interactions_checked, unix_seconds

if TYPE_CHECKING:
    from datetime import datetime

    from implicit.cpu.als import AlternatingLeastSquares

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Factors:
    """Vectors of S shoppers and P products; a dot product is how much the one likes the other.

    Attributes:
        shoppers: S names, sorted.
        products: P names, sorted.
        shopper_matrix: float32 of shape (S, K), one row per shopper.
        product_matrix: float32 of shape (P, K), one row per product.
        until: The last interaction that was used.
        regularization: As they were fitted, for whoever is folded in later.
        confidence: Likewise.
    """

    shoppers: tuple[str, ...]
    products: tuple[str, ...]
    shopper_matrix: Floats
    product_matrix: Floats
    until: datetime
    regularization: float
    confidence: float

    def __post_init__(self) -> None:
        size = self.shopper_matrix.shape[-1]
        for name, names, matrix in (
            ("shopper", self.shoppers, self.shopper_matrix),
            ("product", self.products, self.product_matrix),
        ):
            if matrix.shape != (len(names), size):
                raise InvalidInput(
                    f"{name} matrix {matrix.shape}: {len(names)} {name}s of {size} factors have "
                    f"shape {(len(names), size)}; give one row per {name}"
                )

    @property
    def size(self) -> int:
        """K, how many numbers describe a taste."""
        return int(self.shopper_matrix.shape[1])

    def shopper_frame(self) -> pd.DataFrame:
        """Column ``factors`` (float32 arrays of K), indexed by shopper."""
        return _frame(self.shoppers, self.shopper_matrix, "shopper")

    def product_frame(self) -> pd.DataFrame:
        """Column ``factors`` (float32 arrays of K), indexed by product."""
        return _frame(self.products, self.product_matrix, "product")

    def to_table(self) -> pd.DataFrame:
        """The products' part, to be kept: float32 ``factor_00`` onwards, indexed by product."""
        names = [f"factor_{number:02d}" for number in range(self.size)]
        index = pd.Index(self.products, name="product", dtype=object)
        return pd.DataFrame(self.product_matrix, index=index, columns=names)

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, *, until: datetime, regularization: float, confidence: float
    ) -> Factors:
        """What :meth:`to_table` gave, without shoppers: they can be folded in again."""
        return cls(
            shoppers=(),
            products=tuple(map(str, table.index)),
            shopper_matrix=np.zeros((0, table.shape[1]), dtype=np.float32),
            product_matrix=np.ascontiguousarray(table.to_numpy(dtype=np.float32)),
            until=until,
            regularization=regularization,
            confidence=confidence,
        )

    def aligned(self, like: Factors) -> Factors:
        """The same tastes on the axes of ``like``: rotated, so that dot products stay.

        Two fits find the same tastes up to a rotation. What has learnt from the numbers of one,
        segments or a ranker, can use the other only on the same axes.

        Raises:
            InvalidInput: the sizes differ.
            NotEnoughData: the common products leave the rotation of some tastes undefined.

        References:
            Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem".
        """
        _require_size(self.size, like)
        common = sorted(set(self.products) & set(like.products))
        mine = self.product_matrix[np.searchsorted(self.products, common)]
        theirs = like.product_matrix[np.searchsorted(like.products, common)]
        with threadpool_limits(1, "blas"):
            # What no common product points to is turned anyhow; tastes lie where products do.
            if not common or matrix_rank(mine) < matrix_rank(self.product_matrix):
                raise NotEnoughData(
                    f"{len(common)} common products fix no rotation of {self.size} factors; fit "
                    "fewer factors, or without `like`"
                )
            rotation, _ = orthogonal_procrustes(mine.astype(np.float64), theirs.astype(np.float64))
            shoppers = _rotated(self.shopper_matrix, rotation)
            products = _rotated(self.product_matrix, rotation)
        return replace(self, shopper_matrix=shoppers, product_matrix=products)

    def folded(self, interactions: pd.DataFrame, *, as_of: datetime | None = None) -> Factors:
        """Tastes of these shoppers beside the products as they were fitted.

        For who came after the fit, or did more since: one exact step of ALS for each shopper
        alone, so that whoever did what they did in the fit has the vector of the fit. Products
        keep their vectors; what was met of others is not used.

        Args:
            interactions: As of :func:`fit_factors`: all that these shoppers ever did, for nothing
                is taken over from their vectors of the fit.
            as_of: Only interactions before this moment are used; None uses all.

        Returns:
            The shoppers of ``interactions`` who met a product of the fit, and no others.

        Raises:
            InvalidInput: not interactions, or a weight that is not positive.
            NotEnoughData: none of them is of a product of the fit.

        References:
            Hu, Koren & Volinsky 2008, equation 4.
        """
        events, weights = _events(interactions, as_of)
        known = events["product"].isin(self.products).to_numpy(dtype=bool)
        if not known.any():
            raise NotEnoughData(
                f"none of {len(events)} interactions is of one of the {len(self.products)} fitted "
                "products; fit again with theirs"
            )
        events, weights = events[known], weights[known]
        shoppers, rows = np.unique(events["shopper"].to_numpy(dtype=str), return_inverse=True)
        columns = np.searchsorted(self.products, events["product"].to_numpy(dtype=str))
        met = _confidences(rows, columns, weights.to_numpy(), (len(shoppers), len(self.products)))
        with threadpool_limits(1, "blas"):
            model = _als(self.size, self.regularization, self.confidence)
            model.item_factors = self.product_matrix
            vectors = model.recalculate_user(np.arange(len(shoppers)), met)
        return replace(
            self,
            shoppers=tuple(map(str, shoppers)),
            shopper_matrix=np.asarray(vectors, dtype=np.float32),
            until=max(self.until, events["occurred_at"].max().to_pydatetime()),
        )


def fit_factors(
    interactions: pd.DataFrame,
    *,
    factors: int = 16,
    seed: int,
    as_of: datetime | None = None,
    like: Factors | None = None,
    iterations: int | None = None,
    regularization: float = 0.05,
    confidence: float = 2.0,
) -> Factors:
    """Tastes of the shoppers and products that met.

    Runs in one thread, so that the same interactions and seed give the same bytes, in any order of
    the rows. Shoppers who did the same have the same taste, to the last bit, and so have products
    that met the same.

    Args:
        interactions: ``INTERACTION_COLUMNS``; an optional column weight (> 0) takes the place of
            ``KIND_WEIGHTS``.
        factors: K, numbers per taste.
        seed: Of the starting point.
        as_of: Only interactions before this moment are used; None uses all.
        like: Earlier factors whose axes to keep, see :meth:`Factors.aligned`; the rounds begin at
            its products, so that tastes that nobody changed stay nearly where they were.
        iterations: Rounds over shoppers and products; None for 20, or 5 from where ``like`` stood.
            Hundreds change tastes a little each, also where nobody did anything.
        regularization: Pull towards zero.
        confidence: How much more an interaction counts than none, per unit of weight.

    Raises:
        InvalidInput: not interactions, or a weight that is not positive.
        NotEnoughData: no interaction, or ``like`` shares too few products.

    References:
        Hu, Koren & Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets". We
        take the logarithm of a pair's summed weight, so that one who looks a hundred times does
        not outweigh a hundred who look.
    """
    if factors < 1:
        raise InvalidInput(f"{factors} factors; fit at least 1")
    if iterations is None:
        iterations = 20 if like is None else 5
    events, weights = _events(interactions, as_of)
    shoppers, rows = np.unique(events["shopper"].to_numpy(dtype=str), return_inverse=True)
    products, columns = np.unique(events["product"].to_numpy(dtype=str), return_inverse=True)
    with threadpool_limits(1, "blas"):
        fitted = _als(factors, regularization, confidence, iterations=iterations, seed=seed)
        shape = (len(shoppers), len(products))
        met = _confidences(rows, columns, weights.to_numpy(), shape)
        if like is not None:
            fitted.item_factors = _start(products, like, factors, seed)
        fitted.fit(met, show_progress=False)
        # The rounds before end where conjugate gradients stand after a few steps, a little apart
        # for two who did the same. One exact round makes them the same.
        met_by = met.T.tocsr()
        fitted.item_factors = fitted.recalculate_item(np.arange(len(products)), met_by)
        fitted.user_factors = fitted.recalculate_user(np.arange(len(shoppers)), met)
    found = Factors(
        shoppers=tuple(map(str, shoppers)),
        products=tuple(map(str, products)),
        shopper_matrix=np.asarray(fitted.user_factors, dtype=np.float32),
        product_matrix=np.asarray(fitted.item_factors, dtype=np.float32),
        until=events["occurred_at"].max().to_pydatetime(),
        regularization=regularization,
        confidence=confidence,
    )
    return found if like is None else found.aligned(like)


def _als(
    factors: int,
    regularization: float,
    confidence: float,
    *,
    iterations: int = 0,
    seed: int | None = None,
) -> AlternatingLeastSquares:
    """The library's model, in one thread."""
    from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares(
        factors=factors,
        regularization=regularization,
        alpha=confidence,
        iterations=iterations,
        num_threads=1,
        random_state=seed,
    )


def _require_size(size: int, like: Factors) -> None:
    if size != like.size:
        raise InvalidInput(f"{size} factors cannot lie on {like.size} axes; fit equally many")


def _start(products: npt.NDArray[Any], like: Factors, size: int, seed: int) -> Floats:
    """float32 (P, K): the vectors of an earlier fit, and the library's start where it has none."""
    _require_size(size, like)
    start = 0.01 * np.random.default_rng(seed).random((len(products), size), dtype=np.float32)
    places = pd.Index(like.products).get_indexer(pd.Index(products))
    start[places >= 0] = like.product_matrix[places[places >= 0]]
    return start


def _events(
    interactions: pd.DataFrame, as_of: datetime | None
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """The checked interactions before ``as_of``, at least one, and what each weighs."""
    events = interactions_checked(interactions)
    weights = _weights(interactions).set_axis(events.index)
    if as_of is not None:
        unix_seconds(as_of)
        before = events["occurred_at"] < pd.Timestamp(as_of)
        events, weights = events[before], weights[before]
    if events.empty:
        raise NotEnoughData(f"no interaction before {as_of or 'now'}; tastes need at least one")
    return events, weights


def _rotated(matrix: Floats, rotation: npt.NDArray[np.float64]) -> Floats:
    """The rows turned; equal rows stay equal to the last bit, which a product alone may change."""
    different, places = np.unique(matrix, axis=0, return_inverse=True)
    turned: Floats = (different @ rotation).astype(np.float32)[places.ravel()]
    return turned


def _weights(interactions: pd.DataFrame) -> pd.Series[Any]:
    if "weight" not in interactions.columns:
        return interactions["kind"].map(KIND_WEIGHTS).astype("float64")
    weights = interactions["weight"].astype("float64")
    bad = weights[~(weights > 0) | np.isinf(weights)]
    if not bad.empty:
        raise InvalidInput(f"weight {bad.iloc[0]}; an interaction weighs a positive number")
    return weights


def _confidences(
    rows: npt.NDArray[Any],
    columns: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    shape: tuple[int, int],
) -> csr_matrix:
    """float32 of shape (S, P): the log of each pair's summed weight, summed in a fixed order."""
    order = np.lexsort((weights, columns, rows))
    summed = csr_matrix((weights[order], (rows[order], columns[order])), shape=shape)
    summed.sum_duplicates()
    summed.data = np.log1p(summed.data)
    return summed.astype(np.float32)


def _frame(names: tuple[str, ...], matrix: Floats, key: str) -> pd.DataFrame:
    index = pd.Index(names, name=key, dtype=object)
    return pd.DataFrame({"factors": pd.Series(list(matrix), index=index, dtype=object)})

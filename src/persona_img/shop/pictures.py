"""What may be shown, and the proof of it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from persona_img import wiring
from persona_img.errors import InvalidInput, NotFound
from persona_img.shop.pages import Pages
from persona_img.shop.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from fastapi import FastAPI

    from persona_img.domain.leaning import Floats
    from persona_img.domain.style import Style
    from persona_img.domain.variant import VariantRecord
    from persona_img.rendering.proof.certificate import VerifyReport
    from persona_img.serving.base import Watched
    from persona_img.serving.decide import Decider
    from persona_img.serving.follow import Follower
    from persona_img.serving.keys import KeyFile
    from persona_img.serving.known import Known
    from persona_img.serving.local import LocalDecider
    from persona_img.serving.tracing import Spans


def import_service() -> None:
    """Import what :meth:`Pictures.decider` and :meth:`Pictures.app` would when first called."""
    import persona_img.serving.app
    import persona_img.serving.sqlite_log
    import persona_img.variants.renditions
    import persona_img.variants.showing
    import persona_img.variants.store  # noqa: F401


class Pictures(Switches, Pages):
    """Variants, approved and withdrawn by a ledger; whoever serves them."""

    def approve(self, *digests: str, by: str, reason: str = "") -> list[VariantRecord]:
        """Allow variants to be served; digests may be cut short where that names one variant.

        Raises:
            NotFound: no such variant.
            StoreConflict: one is withdrawn; restore it.
            UnknownStyle: the brand does not want a variant's style.
        """
        found = [self.variants.resolve(digest) for digest in digests]
        brand = self.brand
        for digest in found:
            brand.check(self.variants.get(digest).style)
        self.variants.ledger.approve(found, by=by, reason=reason)
        self.make_renditions(found, by=by)
        return [self.variants.get(digest) for digest in found]

    def withdraw(self, *digests: str, by: str, reason: str) -> list[VariantRecord]:
        """Take variants from serving at once, until they are restored; rendering does not.

        Raises:
            NotFound: no such variant.
            InvalidInput: no reason.
        """
        found = [self.variants.resolve(digest) for digest in digests]
        self.variants.ledger.withdraw(found, by=by, reason=reason)
        return [self.variants.get(digest) for digest in found]

    def restore(self, *digests: str, by: str, reason: str) -> list[VariantRecord]:
        """Let withdrawn variants be served again.

        Raises:
            NotFound: no such variant.
            StoreConflict: one is not withdrawn.
            InvalidInput: no reason.
            UnknownStyle: the brand does not want a variant's style.
        """
        found = [self.variants.resolve(digest) for digest in digests]
        brand = self.brand
        for digest in found:
            brand.check(self.variants.get(digest).style)
        self.variants.ledger.restore(found, by=by, reason=reason)
        return [self.variants.get(digest) for digest in found]

    def withdraw_style(self, product: str, style: Style, *, by: str, reason: str) -> None:
        """Never show a product in a style, whatever renders it, until that is restored.

        Raises:
            NotFound: an unknown product.
            UnknownStyle: a style that is not in the space, nor rendered of the product.
            InvalidInput: the original photo, or no reason.
        """
        records = self.variants.records(product)
        if not records and (not self.workspace.catalog.exists() or product not in self.catalog):
            raise NotFound(f"product {product!r} is in neither the catalogue nor the variants")
        if style not in {record.style for record in records}:
            self.space.check(style)
        self.variants.ledger.withdraw_style(product, style, by=by, reason=reason)

    def restore_style(self, product: str, style: Style, *, by: str, reason: str) -> None:
        """Allow a product in a style again.

        Raises:
            StoreConflict: it is not withdrawn.
            InvalidInput: no reason.
        """
        self.variants.ledger.restore_style(product, style, by=by, reason=reason)

    def verify(self) -> list[tuple[VariantRecord, VerifyReport]]:
        """Every stored variant of a product in the catalogue against its photograph.

        Those of a photo that the product had before are left out: they are not shown.
        """
        from persona_img.imaging.photo import load_photo
        from persona_img.rendering.proof.certificate import verify

        catalog, found = self.catalog, []
        for record in self.variants.records():
            if record.product in catalog:
                product = catalog[record.product]
                if product.photo_digest not in ("", record.certificate.photo):
                    continue
                photo = load_photo(product.photo)
                found.append((record, verify(self.variants.path(record.digest), photo)))
        return found

    def decider(self, known: Known | None = None) -> Decider:
        """What answers requests with the newest table; whoever asks closes its ``log``.

        Args:
            known: What it asks of shoppers; None for the shop's own.

        Raises:
            NotFound: nothing was prepared yet.
        """
        from persona_img.serving.decide import Decider
        from persona_img.variants.showing import Showing

        table, log = self.table, wiring.event_log(self.workspace, self.settings.stores.events_url)
        try:
            return Decider(
                table,
                self.arms,
                log,
                change_budget=self.settings.test.change_budget,
                keep_days=self.settings.test.keep_days,
                holdout=wiring.holdout(self.settings),
                revoked=self.workspace.revoked(),
                ramp=self.workspace.ramp(),
                traits=known or self.known,
                servable=Showing(self.variants, self.live_catalog),
            )
        except BaseException:
            log.close()
            raise

    @cached_property
    def keys(self) -> KeyFile:
        """Keys by which programs and pages are let in."""
        from persona_img.serving.keys import KeyFile

        return KeyFile(self.workspace.keys)

    @cached_property
    def known(self) -> Known:
        """What is known of a shopper where a decision is made, out of the feature store."""
        return self._new_known()

    def _new_known(self) -> Known:
        from persona_img.serving.known import Known

        serve = self.settings.serve
        return Known(self._traits, seconds=serve.profile_seconds, wait=serve.profile_ms / 1000)

    @cached_property
    def spans(self) -> Spans:
        """Told how long requests take: by the standard ``OTEL_*`` variables, or nobody is."""
        return wiring.spans()

    def traits(self, shoppers: Sequence[str], *, now: datetime) -> pd.DataFrame:
        """What the feature store knows of shoppers, as chances are turned by it.

        Args:
            shoppers: Whom.
            now: The moment, with a time zone.

        Returns:
            float64, indexed by shopper, a named column a trait, NaN where unknown.
        """
        from persona_img.profiles.traits import trait_names, trait_table

        profiles = self.features.online(shoppers, now=now)
        return trait_table(profiles, trait_names(profiles), [now.timestamp()] * len(profiles))

    def _traits(self, shopper: str, names: Sequence[str], now: float) -> Floats | None:
        from persona_img.profiles.traits import traits_of

        moment = datetime.fromtimestamp(now, UTC)
        profile = self.features.online([shopper], now=moment).iloc[0]
        if profile["factors"] is None and profile["recent_at"] != profile["recent_at"]:
            return None
        return traits_of({str(k): v for k, v in profile.items()}, names, now)

    def following(self, decider: Decider, *, seconds: float = 1.0) -> Follower:
        """Gives a decider every table that is published, while a ``with`` block runs.

        The catalogue is read there too, once it changed.

        Args:
            decider: Of :meth:`decider`.
            seconds: Between two looks.
        """
        from persona_img.serving.follow import Follower

        return Follower(
            decider,
            self.workspace.published,
            lambda: (self.table, self.workspace.revoked(), self.workspace.ramp()),
            seconds=seconds,
            beside=self.live_catalog.refresh,
        )

    def local(self, url: str = "http://127.0.0.1:8080", *, key: str = "") -> LocalDecider:
        """What decides in this program, by the same files as the service, and sends it events.

        Example::

            with Shop.open("shop").local() as pictures:
                shown = pictures.page("anna", ["22423"])

        Args:
            url: Of the service that takes events.
            key: Of the role ``ingest``; empty where the service asks for none.

        Raises:
            NotFound: nothing was prepared yet.
        """
        from persona_img.serving.addresses import Addresses
        from persona_img.serving.halts import Halts
        from persona_img.serving.local import LocalDecider
        from persona_img.variants.renditions import LazyRenditions

        known = self._new_known()  # its own: it is closed with what asks it
        decider = self.decider(known)
        return LocalDecider(
            decider,
            self.live_catalog,
            wiring.signer(self.settings, self.workspace),
            Addresses(
                LazyRenditions(self.renditions),
                self.shown_path,
                self.settings.serve.cdn_url or "",
            ),
            halted=Halts(self.halts),
            following=self.following(decider),
            url=url,
            key=key,
            known=known,
        )

    def rotate_key(self, keep: int = 1) -> int:
        """Put a new key before those that sign answers; services take it when they start.

        Args:
            keep: How many of those before still prove what they signed.

        Returns:
            How many keys there are now.

        Raises:
            InvalidInput: the settings give the key: change it there, and name the one before among
                ``earlier_keys``.
        """
        from persona_img.serving.key import rotate

        if self.settings.serve.decision_key is not None:
            raise InvalidInput(
                "[serve] decision_key is given: change it where it is, and put the one before it "
                "into earlier_keys"
            )
        return rotate(self.workspace.decision_key, keep)

    def app(
        self, decider: Decider, *, following: Follower | None = None, demo_shop: bool = False
    ) -> FastAPI:
        """The HTTP service around a decider.

        Args:
            decider: Of :meth:`decider`.
            following: Of :meth:`following`; what keeps it from taking a table is told then.
            demo_shop: Whether it has a sample shop, for shops whose shoppers are simulated.

        Raises:
            InvalidInput: a sample shop for real shoppers, whose figures it would spoil.
        """
        if demo_shop and not self.simulated:
            raise InvalidInput(
                "the sample shop's clicks count, and this shop's shoppers are real; see it with "
                "`persona-img demo --quick --home demo` and that home"
            )
        from persona_img.serving.app import create_app
        from persona_img.serving.connections import ConnectionLimits
        from persona_img.serving.gate import LOOPBACK, GateRules
        from persona_img.serving.halts import Halts
        from persona_img.serving.keys import Keys
        from persona_img.serving.run import is_loopback
        from persona_img.variants.renditions import LazyRenditions

        serve = self.settings.serve
        halted, keys = Halts(self.halts), Keys(self.keys, serve.tokens)
        watched: list[Watched] = [self.live_catalog, halted, keys, self.variants.ledger]
        if following is not None:
            watched.append(following)
        return create_app(
            decider,
            self.live_catalog,
            self.shown_path,
            signer=wiring.signer(self.settings, self.workspace),
            known=self.known,
            halted=halted,
            previews=wiring.previews(self.settings, self.workspace),
            keys=keys,
            rules=GateRules(
                hosts=serve.hosts or (LOOPBACK if is_loopback(serve.host) else ()),
                address_rate=serve.address_rate,
                key_rate=serve.key_rate,
                log_requests=serve.log_requests,
            ),
            origins=serve.origins,
            limits=ConnectionLimits(
                most=serve.connections,
                request_seconds=serve.request_seconds,
                free=frozenset(serve.proxies),
            ),
            approvals=self,
            decision_seconds=serve.decision_ms / 1000,
            photo_url=serve.photo_url,
            trusting=lambda: self.simulated,
            renditions=LazyRenditions(self.renditions),
            cdn_url=serve.cdn_url or "",
            demo_shop=demo_shop,
            spans=self.spans,
            holdout=self.settings.test.holdout_name,
            hindered=lambda: [one.hindrance for one in watched if one.hindrance],
        )

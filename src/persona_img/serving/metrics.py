"""What an operator watches, in Prometheus' words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which workers keep their counters."""

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from persona_img.domain.decision import Decision
    from persona_img.domain.holdout import Holdout

_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class ServingMetrics:
    """Counters of one app, in a registry of its own: two apps in a process do not mix.

    Args:
        holdout: Who is in no test; None where everybody is in one.

    Attributes:
        decisions: Pictures answered, by ``arm``, which is ``holdout`` of who is in no test, and
            ``made`` (``new``, or ``kept`` of one seen).
        seconds: Time to a decision, or to a page of them.
        events: Events received, by ``outcome`` (``new``, ``duplicate`` or ``rejected``).
        kept: Events that were new, by ``kind``.
        refusals: Events rejected, by the ``rule`` of :data:`persona_img.serving.base.Rule`.
        links: Links of two names, by ``outcome`` (``linked``, ``known`` or ``refused``).
        profiles: Questions what is known of a shopper, by ``outcome`` of
            :data:`persona_img.serving.known.OUTCOMES`.
        photos: Photos shown, and not counted, because nothing could be decided or logged, by
            ``reason`` of :class:`persona_img.serving.fallback.Fallback`.
        errors: Answers from 400 on, by ``status``.
        closed: Connections that were closed, by ``reason`` of
            :class:`persona_img.serving.connections.Connections`.
        content_type: Media type of :meth:`text`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, holdout: Holdout | None = None) -> None:
        self._held = holdout.name if holdout else None
        self._registry = CollectorRegistry()
        self._decided: dict[tuple[str, str], Counter] = {}
        self.decisions = Counter(
            "persona_img_decisions",
            "Pictures answered.",
            ["arm", "made"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "persona_img_decision_seconds",
            "Time to a decision, its log entry included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.events = Counter(
            "persona_img_events", "Events received.", ["outcome"], registry=self._registry
        )
        self.kept = Counter(
            "persona_img_events_kept", "Events that were new.", ["kind"], registry=self._registry
        )
        self.refusals = Counter(
            "persona_img_events_rejected",
            "Events rejected.",
            ["rule"],
            registry=self._registry,
        )
        self.links = Counter(
            "persona_img_links",
            "Links of an anonymous name and a login.",
            ["outcome"],
            registry=self._registry,
        )
        self.profiles = Counter(
            "persona_img_profiles",
            "Questions what is known of a shopper.",
            ["outcome"],
            registry=self._registry,
        )
        self.photos = Counter(
            "persona_img_photos",
            "Photos shown, and not counted, because nothing could be decided or logged.",
            ["reason"],
            registry=self._registry,
        )
        self.errors = Counter(
            "persona_img_errors", "Answers from 400 on.", ["status"], registry=self._registry
        )
        self.closed = Counter(
            "persona_img_connections_closed",
            "Connections that were closed for being slow, too many or too talkative.",
            ["reason"],
            registry=self._registry,
        )

    def decided(self, decisions: Sequence[Decision], now: float, seconds: float) -> None:
        """Count decisions that took so long together; those that were drawn now are new."""
        self.seconds.observe(seconds)
        for one in decisions:
            made = "new" if one.decided_at == now else "kept"
            key = ("holdout" if one.test == self._held else one.arm, made)
            counter = self._decided.get(key)
            if counter is None:
                counter = self._decided[key] = self.decisions.labels(*key)
            counter.inc()

    def received(self, answer: Mapping[str, Any], kinds: Mapping[int, str]) -> None:
        """Count what became of a batch of events, as it is answered, and of which kind they are.

        Args:
            answer: What the batch is answered.
            kinds: Of those that could be read, by place.
        """
        for place, kind in kinds.items():
            if answer["events"][place]["outcome"] == "accepted":
                self.kept.labels(kind).inc()
        self.events.labels("new").inc(answer["accepted"])
        self.events.labels("duplicate").inc(answer["duplicates"])
        self.events.labels("rejected").inc(answer["rejected"])
        if answer["rejected"]:
            for event in answer["events"]:
                if event["rule"]:
                    self.refusals.labels(event["rule"]).inc()

    def kept_by_kind(self) -> dict[str, int]:
        """New events by kind; of every worker where there are several."""
        return {
            sample.labels["kind"]: int(sample.value)
            for metric in self._every().collect()
            for sample in metric.samples
            if sample.name == "persona_img_events_kept_total"
        }

    def text(self) -> bytes:
        """All of them, in the exposition format; of every worker where there are several.

        Workers share the folder that ``PROMETHEUS_MULTIPROC_DIR`` names from before they import
        this: each has a file there, and whichever is asked adds them up.
        """
        return generate_latest(self._every())

    def _every(self) -> CollectorRegistry:
        folder = os.environ.get(SHARED)
        if not folder:
            return self._registry
        every = CollectorRegistry()
        MultiProcessCollector(every, folder)  # type: ignore[no-untyped-call]
        return every

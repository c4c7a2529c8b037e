"""The analysts' page: did it work, for whom, and with which pictures.

Run it with ``make dashboard``; PERSONA_IMG_HOME names the shop's folder.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

import persona_img as pi

st.set_page_config(page_title="persona-img results", layout="wide")
shop = pi.Shop.open()
settings = shop.settings
st.title("Which picture works, and does it?")
st.caption(f"A/B test **{settings.test.name}** · {settings.home}")

since, until = shop.window
try:
    everything = shop.feedback(since=since, until=until)
except pi.PersonaImgError as error:
    st.error(str(error))
    st.stop()
if everything.empty:
    st.info("No impressions yet. Send some visits to the service, then reload.")
    st.stop()

seen = shop.seen_policies(since, until)
versions = [policy for policy in shop.policies if policy in seen]
if not versions:
    st.info("No impressions of a table that is still here. Send some visits, then reload.")
    st.stop()
version = st.selectbox("Policy version", versions, index=len(versions) - 1)
if shop.simulated:
    st.warning(
        "The shoppers are **simulated**: this shows that the loop learns, not what it earns."
    )

report, _, feedback = shop.read(policy=version, by_segment=True)
if report.record is not None:
    for line in report.record.lines():
        st.caption(line)
left, middle, right = st.columns(3)
for arm, place in zip(report.arms, (left, middle), strict=False):
    place.metric(f"CTR, {arm.arm}", f"{arm.ctr:.2%}", help=f"{arm.shoppers:,} exposed shoppers")
lift = report.comparisons[0]
right.metric(
    f"Lift of {lift.metric}",
    f"{lift.lift:+.1%}",
    help=f"{report.confidence:.0%} interval, by shopper",
)
watched = lift.judged_by == "any look"
low, high = (lift.always_low, lift.always_high) if watched else (lift.low, lift.high)
right.caption(f"{low:+.1%} to {high:+.1%}: {lift.verdict}")
st.caption(report.judging)
if report.sample_ratio.ok is False:
    st.error("The sample ratio is not as planned: do not read these lifts.")
for warning in report.warnings:
    st.warning(warning)

st.subheader("Arms")
st.dataframe(
    pd.DataFrame(
        [
            {
                "arm": a.arm,
                "shoppers": a.shoppers,
                "impressions": a.impressions,
                "clicks": a.clicks,
                "CTR %": round(100 * a.ctr, 2),
            }
            for a in report.arms
        ]
    ),
    hide_index=True,
)

st.subheader("By segment")
st.caption("Exploratory: looked at after the fact, so a lift here is a question, not an answer.")
st.dataframe(
    pd.DataFrame(
        [
            {
                "segment": c.segment,
                "metric": c.metric,
                "lift %": round(100 * c.lift, 1),
                "low %": round(100 * c.low, 1),
                "high %": round(100 * c.high, 1),
            }
            for c in report.by_segment
        ]
    ),
    hide_index=True,
)

st.subheader("Variants")
personal = feedback[feedback["arm"] != "control"]
counts = personal.groupby(["product", "style_key"])[["clicked"]].agg(["size", "sum"])
counts.columns = ["impressions", "clicks"]
products = sorted(personal["product"].unique())
files = {(r.product, r.style.key): shop.variants.path(r.digest) for r in shop.variants.records()}
pictured = [p for p in products if any((p, str(style)) in files for style in counts.loc[p].index)]
first = products.index(pictured[0]) if pictured else 0  # a photo that was refused shows none
product = st.selectbox("Product", products, index=first)
shown = counts.loc[product].sort_values("impressions", ascending=False)
columns = st.columns(min(6, max(1, len(shown))))
for place, (style, row) in zip(columns, shown.iterrows(), strict=False):
    found = files.get((product, str(style)))
    if found:
        place.image(str(found))
    place.caption(
        f"**{style}**  \n{int(row['impressions'])} impressions, {int(row['clicks'])} clicks"
    )

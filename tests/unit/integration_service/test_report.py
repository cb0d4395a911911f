"""The outcome report. Expectations: R-29 and section 5b.9 of domain.md; the participant flow of NCT05604794 (section 4.1: 1,806
treated, 346 evaluable at 3 months and 94 at 6, 11 clinics); recounts from the list of patients; an attacker who subtracts."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.follow_up import Point, Reason, Treated, treated
from services.integration.domain.not_followed import RecordNotFollowed, record_not_followed
from services.integration.domain.report import BELOW_FLOOR, BY_SUBTRACTION, MEANS, RATES, may_stand_beside, report
from shared.events.clinical import Instrument
from shared.events.integration import OutcomeMeasured
from tests.unit.integration_service.story import SHIPPED, T0, Story, approval, dosed, phq9, screening

FLOOR = 5
DAYS = (14, 90)


def day(number: float) -> datetime:
    return T0 + timedelta(days=number)


def outcome(total: int, baseline: int | None = 18) -> OutcomeMeasured:
    """A PHQ-9, judged by the shipped numbers of R-29."""
    change = None if baseline is None else total - baseline
    return OutcomeMeasured(
        instrument="phq-9",
        answers=(),
        total=total,
        baseline=baseline,
        change=change,
        response=None if baseline is None or baseline == 0 else 2 * total <= baseline,
        remission=None if baseline is None or baseline < 10 else total < 5,
        deterioration=None if change is None else change >= 5,
        measured_at=T0,
    )


def patient(clinic: str = "riverside", partner: str | None = "north", baseline: int | None = 18, **points: int | Reason | None) -> Treated:
    """A patient with what became of each day: a total, or why there is none (`day_14=9`, `day_90="moved"`)."""
    found = {
        int(name.removeprefix("day_")): Point(outcome(said, baseline), None) if isinstance(said, int) else Point(None, said)
        for name, said in points.items()
    }
    return Treated(clinic, partner, "sublingual", "psychedelic", baseline, found, simulated=False)


def made(patients: Sequence[Treated], *, network: bool = True) -> dict[str, Any]:
    return report(patients, dict.fromkeys({each.clinic for each in patients}, FLOOR), network=network)


def only_group(patients: Sequence[Treated]) -> dict[str, Any]:
    group: dict[str, Any] = made(patients)["clinics"][0]["groups"][0]
    return group


# What is counted


def test_r29_beside_every_rate_stand_its_denominator_the_number_followed_and_why_the_rest_were_not() -> None:
    patients = [
        *(patient(day_90=total) for total in (2, 4, 9, 10, 23)),
        patient(baseline=8, day_90=3),  # cannot remit: the baseline was below 10
        patient(baseline=None, day_90=3),  # no baseline, so followed, and nothing can be said
        patient(day_90="moved"),
        patient(day_90="unknown"),
        patient(day_90="unknown"),
    ]
    group = only_group(patients)
    assert (group["treated"], group["baseline"]) == (10, {"of": 9, "mean": round((8 * 18 + 8) / 9, 1)})
    (at,) = group["follow_up"]
    assert (at["day"], at["followed"], at["not_followed"]) == (90, 7, {"moved": 1, "unknown": 2})
    assert at["response"] == {"of": 6, "n": 4, "rate": 0.667}
    assert at["remission"] == {"of": 5, "n": 2, "rate": 0.4}
    assert at["deterioration"] == {"of": 6, "n": 1, "rate": 0.167}
    assert at["mean"] == {"of": 7, "mean": round((2 + 4 + 9 + 10 + 23 + 3 + 3) / 7, 1)}
    assert at["mean_change"] == {"of": 6, "mean": round((-16 - 14 - 9 - 8 + 5 - 5) / 6, 1)}


def test_r29_who_was_treated_was_followed_or_has_a_reason_at_every_day() -> None:
    patients = [patient(day_14=9, day_90="died"), *(patient(day_14="declined", day_90=4) for _ in range(6))]
    for at in only_group(patients)["follow_up"]:
        assert at["followed"] + sum(at["not_followed"].values()) == 7


def test_r29_the_participant_flow_of_the_registry_is_reproduced() -> None:
    """1,806 treated in 11 clinics, 346 followed at 3 months and 94 at 6: the loss stands beside the rate (95 % at 6 months)."""
    patients = [
        patient(
            f"clinic-{number % 11}",
            day_90=8 if number < 346 else "lost_to_follow_up",
            day_180=8 if number < 94 else "lost_to_follow_up",
        )
        for number in range(1806)
    ]
    total = made(patients)["network"]
    assert total["treated"] == 1806
    assert [(at["day"], at["followed"], at["not_followed"]) for at in total["follow_up"]] == [
        (90, 346, {"lost_to_follow_up": 1460}),
        (180, 94, {"lost_to_follow_up": 1712}),
    ]
    assert [at["response"]["of"] for at in total["follow_up"]] == [346, 94]
    assert round(1712 / 1806, 2) == 0.95


def test_r29_groups_are_clinic_partner_route_and_intent() -> None:
    patients = [patient(clinic, partner, day_14=9) for clinic in ("a", "b") for partner in ("north", None) for _ in range(FLOOR)]
    shown = made(patients)
    rows = [(each["clinic"], group["partner"], group["treated"]) for each in shown["clinics"] for group in each["groups"]]
    assert rows == [("a", None, 5), ("a", "north", 5), ("b", None, 5), ("b", "north", 5)]
    assert (shown["clinics"][0]["total"]["treated"], shown["network"]["treated"]) == (10, 20)
    assert "network" not in made(patients, network=False)


# The floor, and subtraction


@pytest.mark.parametrize(("treated_patients", "withheld"), [(FLOOR - 1, True), (FLOOR, False)])
def test_r29_a_group_below_the_floor_is_withheld(treated_patients: int, withheld: bool) -> None:
    group = only_group([patient(day_14=9) for _ in range(treated_patients)])
    assert (group.get("withheld") == BELOW_FLOOR) is withheld
    assert ("treated" in group) is not withheld


@pytest.mark.parametrize(("followed", "withheld"), [(0, False), (1, True), (FLOOR - 1, True), (FLOOR, False)])
def test_r29_a_rate_of_fewer_than_the_floor_is_withheld_and_the_attrition_is_not(followed: int, withheld: bool) -> None:
    patients = [patient(day_90=9 if number < followed else "unknown") for number in range(20)]
    (at,) = only_group(patients)["follow_up"]
    assert (at["followed"], at["not_followed"].get("unknown", 0)) == (followed, 20 - followed)
    for name in (*MEANS, *RATES):
        assert (at[name].get("withheld") == BELOW_FLOOR) is withheld


def test_r29_the_floor_is_the_policys() -> None:
    assert SHIPPED.values.outcome_report_floor == FLOOR
    patients = [patient(day_14=9) for _ in range(7)]
    assert report(patients, {"riverside": 8}, network=False)["clinics"][0]["groups"][0]["withheld"] == BELOW_FLOOR


@pytest.mark.parametrize(
    ("sizes", "stands"), [([], True), ([4], False), ([2, 2], False), ([1, 4], True), ([3, 3], True), ([1, 1, 1], False)]
)
def test_r29_a_total_stands_only_beside_withheld_groups_that_make_up_the_floor_together(sizes: list[int], stands: bool) -> None:
    assert may_stand_beside(sizes, FLOOR) is stands


def test_r29_the_total_does_not_tell_the_one_group_that_is_withheld() -> None:
    patients = [*(patient(day_14=9) for _ in range(20)), *(patient(partner="south", day_14=2) for _ in range(3))]
    (clinic,) = made(patients)["clinics"]
    assert [group.get("treated") for group in clinic["groups"]] == [20, None]
    assert clinic["total"] == {"withheld": BY_SUBTRACTION}
    assert made(patients)["network"] == {"withheld": BY_SUBTRACTION}


def test_r29_a_rate_of_the_total_does_not_tell_the_one_that_is_withheld() -> None:
    """Both groups are large; of one only 3 were followed."""
    followed = [patient(day_90=9) for _ in range(20)]
    lost = [patient(partner="south", day_90=2 if number < 3 else "unknown") for number in range(20)]
    (clinic,) = made([*followed, *lost])["clinics"]
    (at,) = clinic["total"]["follow_up"]
    assert (at["followed"], at["response"]) == (23, {"withheld": BY_SUBTRACTION})


def test_r29_the_networks_total_does_not_tell_what_a_clinics_was_omitted_for() -> None:
    here = [*(patient("a", day_14=9) for _ in range(20)), *(patient("a", "south", day_14=2) for _ in range(3))]
    there = [patient("b", day_14=9) for _ in range(30)]
    shown = made([*here, *there])
    assert shown["clinics"][1]["total"]["treated"] == 30
    assert shown["network"] == {"withheld": BY_SUBTRACTION}


PATIENTS = st.lists(
    st.builds(
        lambda clinic, partner, at_14, at_90: patient(clinic, partner, day_14=at_14, day_90=at_90),
        st.sampled_from("abc"),
        st.sampled_from(["north", "south", "east"]),
        *[st.sampled_from([3, 9, 25, "unknown", "moved"])] * len(DAYS),
    ),
    min_size=1,
    max_size=60,
)


@given(PATIENTS)
def test_r29_whoever_subtracts_what_is_shown_learns_of_no_fewer_than_the_floor(patients: list[Treated]) -> None:
    shown = made(patients)
    places = [("treated", 0), *((name, days) for name in (*MEANS, *RATES) for days in DAYS)]
    for place in places:
        open_groups: list[int] = []  # what no total of a clinic adds up: sizes of the groups that are withheld, which the attacker lacks
        known = 0
        for clinic in shown["clinics"]:
            members = [each for each in patients if each.clinic == clinic["clinic"]]
            sizes = Counter({str(each.partner): 0 for each in members})
            for each in members:
                sizes[str(each.partner)] += size_at(each, place)
            seen = {group["partner"]: said(group, place) for group in clinic["groups"]}
            for partner, of in seen.items():
                assert of is None or of == sizes[partner], "a number that is shown is the one that a recount gives"
                assert of is None or of == 0 or of >= FLOOR
            unseen = [size for partner, size in sizes.items() if seen[partner] is None and size > 0]
            total = said(clinic["total"], place)
            if total is None:
                open_groups += unseen
                known += sum(of for of in seen.values() if of is not None)
            else:
                assert total == sum(sizes.values())
                assert safe(unseen)
                known += total
        total = said(shown["network"], place)
        if total is not None:
            assert total - known == sum(open_groups)
            assert safe(open_groups)


def safe(sizes: list[int]) -> bool:
    """Whether their sum may be known."""
    return not sizes or (len(sizes) >= 2 and sum(sizes) >= FLOOR)


def said(row: dict[str, Any], place: tuple[str, int]) -> int | None:
    """How many a figure says it stands for; None where it is withheld."""
    name, days = place
    if "withheld" in row:
        return None
    if name == "treated":
        return int(row["treated"])
    at = next((at for at in row["follow_up"] if at["day"] == days), None)
    return 0 if at is None else at[name].get("of")


def size_at(one: Treated, place: tuple[str, int]) -> int:
    name, days = place
    return 1 if name == "treated" or one.points[days].outcome is not None else 0


# From a case to the report


def counted(story: Story, instrument: Instrument = "phq-9") -> Treated:
    found = treated(story.state, "riverside", instrument, story.now)
    assert found is not None
    return found


def reasons(story: Story) -> dict[int, Reason | None]:
    return {days: point.reason for days, point in counted(story).points.items()}


def followed_story() -> Story:
    story = Story(SHIPPED)
    story.hear(approval())
    story.hear(screening(phq_9=18))
    story.hear(dosed(given_at=day(1), intent="psychedelic"))
    story.on_day(1)
    return story


def test_r29_a_case_counts_from_its_first_dose_in_the_group_of_its_last() -> None:
    story = Story()
    story.hear(screening(phq_9=18))
    assert treated(story.state, "riverside", "phq-9", T0) is None
    story = followed_story()
    found = counted(story)
    assert (found.clinic, found.partner, found.route, found.intent, found.baseline) == (
        "riverside",
        "north",
        "sublingual",
        "psychedelic",
        18,
    )
    story.hear(approval("south", request=2, decided_at=day(20)))
    assert counted(story).partner == "north"
    story.on_day(21).hear(dosed(2, day(21), route="intramuscular", intent="psycholytic"))
    found = counted(story)
    assert (found.partner, found.route, found.intent) == ("south", "intramuscular", "psycholytic")


def test_r29_a_dose_that_nobody_had_approved_belongs_to_no_partner() -> None:
    story = Story()
    story.hear(dosed())
    story.hear(approval(decided_at=day(2)))
    assert counted(story).partner is None


def test_r29_what_is_missing_has_the_reason_that_was_recorded_or_is_unknown() -> None:
    story = followed_story().on_day(25)
    assert reasons(story) == {14: "unknown", 30: "not_yet_due", 90: "not_yet_due", 180: "not_yet_due"}
    story.do(record_not_followed, RecordNotFollowed(measurement="outcome-1-day-14", because="declined", at=story.now))
    story.on_day(65).measure("phq-9", phq9(6))
    assert reasons(story) == {14: "declined", 30: "outside_window", 90: "not_yet_due", 180: "not_yet_due"}
    story.on_day(91).measure("phq-9", (None, *phq9(6)[1:]))
    assert reasons(story)[90] == "unscored"


Because = Literal["died", "moved", "lost_to_follow_up", "patient_stopped", "course_complete"]


@pytest.mark.parametrize(
    ("because", "reason"),
    [
        ("died", "died"),
        ("moved", "moved"),
        ("lost_to_follow_up", "lost_to_follow_up"),
        ("patient_stopped", "declined"),
        ("course_complete", "discharged"),
    ],
)
def test_r29_after_a_discharge_its_reason_counts(because: Because, reason: Reason) -> None:
    story = followed_story().on_day(40)
    story.do(discharge_from_care, DischargeFromCare(because=because, discharged_at=story.now))
    assert reasons(story) == {14: "unknown", 30: "unknown", 90: reason, 180: reason}


@pytest.mark.parametrize(
    ("measured", "at_14", "at_30"),
    [((7,), None, None), ((8,), 6, None), ((22,), 6, None), ((23,), None, None), ((24,), None, 6), ((38,), None, 6), ((39,), None, None)],
)
def test_r29_an_answer_counts_at_the_day_whose_window_it_lies_in(measured: tuple[int, ...], at_14: int | None, at_30: int | None) -> None:
    """The dose was on day 1: the windows are days 8 to 22 and 24 to 38."""
    story = followed_story().on_day(60)
    for number in measured:
        story.measure("phq-9", phq9(6), day(number))
    points = counted(story).points
    assert [getattr(points[days].outcome, "total", None) for days in (14, 30)] == [at_14, at_30]


def test_r29_of_several_answers_the_one_nearest_the_day_counts_and_none_twice() -> None:
    story = followed_story().on_day(60)
    for total, number in ((9, 9), (7, 14), (5, 20)):
        story.measure("phq-9", phq9(total), day(number))
    chosen = counted(story).points[14].outcome
    assert chosen is not None
    assert chosen.total == 7
    policy = SHIPPED.model_copy(
        update={"values": SHIPPED.values.model_copy(update={"outcome_measurement_days": (14, 20), "outcome_window_days": 7})}
    )
    overlapping = Story(policy)
    overlapping.hear(dosed())
    overlapping.on_day(60).measure("phq-9", phq9(6), day(16))
    assert [point.outcome is not None for point in counted(overlapping).points.values()] == [True, False]


def test_r29_other_instruments_are_reported_by_themselves() -> None:
    story = followed_story().on_day(15)
    story.measure("phq-9", phq9(6))
    assert counted(story, "gad-7").points[14].outcome is None
    assert counted(story, "gad-7").baseline is None

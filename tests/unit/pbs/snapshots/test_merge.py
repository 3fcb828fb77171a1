"""Merging of overlapping listings: a table by the order of their starts."""

import pytest
from msgspec.structs import replace

from pbs_exporter.clock import Instant
from pbs_exporter.errors import PbsTimeout
from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.full_listing import FullListing
from pbs_exporter.pbs.snapshots.group_summary import FinishedSnapshot, GroupSummary
from pbs_exporter.pbs.snapshots.incremental_listing import IncrementalListing
from pbs_exporter.pbs.snapshots.known import Known, KnownNamespace, fresh_listing, newest_listing
from pbs_exporter.pbs.snapshots.listing import GroupKey, Listing, Namespaces
from pbs_exporter.pbs.snapshots.merge import with_fingerprints, with_full, with_incremental

A, B, C = ("vm", "1"), ("vm", "2"), ("vm", "3")
BEFORE, AT = Instant(1_000.0, 10.0), Instant(1_060.0, 70.0)
TIMEOUT = PbsTimeout("no answer within 5 s")


def group(count: int) -> GroupSummary:
    """Make a group whose number of snapshots shows which listing read it."""
    return GroupSummary(count=count, owner="o", last=count, newest=FinishedSnapshot(count, 1, "none", encrypted=False))


def row(count: int) -> GroupRow:
    """Make the row of `/groups` that agrees with `group(count)`."""
    return GroupRow("vm", "1", count, count, ("index.json.blob",), "o")


def known(
    groups: Namespaces, *, full_number: int = 0, groups_number: int = -1, numbers: dict[GroupKey, int] | None = None
) -> Known:
    """Make what is known since `BEFORE`, by the full listing and the incremental one with these numbers."""
    return Known(
        names=tuple(groups),
        names_number=max(full_number, groups_number),
        namespace_count=2,
        namespaces={
            name: KnownNamespace(those, BEFORE, 900.0, full_number, groups_number) for name, those in groups.items()
        },
        listed=BEFORE,
        group_numbers=numbers or {},
    )


def full(groups: Namespaces, *failed: str) -> FullListing:
    """Make a full listing of these namespaces, and of some that failed."""
    error = TIMEOUT if failed else None
    return FullListing([*groups, *failed], groups, 3, 0.1, None, error, goes_on=False)


def incremental(
    groups: Namespaces,
    number: int,
    *listed: GroupKey,
    groups_number: int | None = None,
    errors: dict[str, BaseException] | None = None,
) -> IncrementalListing:
    """Make an incremental listing of some groups, with the row of `A` as its fingerprint."""
    return IncrementalListing(
        names=tuple(dict.fromkeys([*groups, *(errors or {})])),
        namespace_count=4,
        namespaces=groups,
        errors=errors or {},
        groups_number=number if groups_number is None else groups_number,
        number=number,
        listed=frozenset(listed),
        fingerprints={("", A): row(1)},
        relist=frozenset(),
        omitted=None,
        full_is_wanted=False,
        all_seen=True,
        goes_on=False,
    )


def test_the_first_full_listing_is_all_that_is_known() -> None:
    """A full listing has its own groups, and both times are its own."""
    merged = with_full(Known(), full({"": {A: group(1)}}), 0, AT)
    assert newest_listing(merged) == Listing({"": {A: group(1)}}, AT.unix, AT.unix, 3)


FULL_LISTINGS = {
    # Known groups, numbers of later group listings and of the incremental one, groups of full listing 5, result.
    "replaces what was known": ({"": {A: group(1)}}, {}, -1, {"": {A: group(2)}}, {"": {A: group(2)}}),
    "drops groups that are gone": ({"": {A: group(1), B: group(1)}}, {}, -1, {"": {A: group(2)}}, {"": {A: group(2)}}),
    "drops namespaces that are gone": ({"": {}, "a": {A: group(1)}}, {}, -1, {"": {}}, {"": {}}),
    "keeps a group that was listed later": (
        {"": {A: group(9), B: group(1)}},
        {("", A): 6, ("", B): 4},
        -1,
        {"": {A: group(2), B: group(2)}},
        {"": {A: group(9), B: group(2)}},
    ),
    "keeps a namespace that was named later": (
        {"": {}, "a": {A: group(9)}},
        {("a", A): 6},
        6,
        {"": {}},
        {"": {}, "a": {A: group(9)}},
    ),
    "doesn't bring back what a later listing hasn't": (
        {"": {A: group(1)}},
        {},
        6,
        {"": {A: group(2), B: group(2)}, "a": {C: group(2)}},
        {"": {A: group(2)}},
    ),
    "keeps a group that only a later incremental listing has": (
        {"": {A: group(1), B: group(9)}, "a": {C: group(1)}},
        {("", B): 6},
        6,
        {"": {A: group(2), B: group(2)}},
        {"": {A: group(2), B: group(9)}, "a": {C: group(1)}},
    ),
    "wins over an earlier incremental listing": (
        {"": {A: group(1)}},
        {("", A): 4},
        4,
        {"": {A: group(2), B: group(2)}},
        {"": {A: group(2), B: group(2)}},
    ),
}


@pytest.mark.parametrize(
    ("before", "numbers", "incremental_number", "read", "after"), FULL_LISTINGS.values(), ids=FULL_LISTINGS
)
def test_what_a_full_listing_changes(
    before: Namespaces, numbers: dict[GroupKey, int], incremental_number: int, read: Namespaces, after: Namespaces
) -> None:
    """Of two that read a group the later one wins, and the later one says which groups and namespaces exist."""
    merged = with_full(known(before, groups_number=incremental_number, numbers=numbers), full(read), 5, AT)
    assert merged.groups == after
    assert merged.group_numbers == {key: number for key, number in numbers.items() if number > 5}


@pytest.mark.parametrize(
    ("incremental_number", "timestamp", "count"),
    [(4, AT.unix, 3), (6, BEFORE.unix, 2)],
    ids=["after an earlier incremental listing", "after a later one"],
)
def test_the_times_after_a_full_listing(incremental_number: int, timestamp: float, count: int) -> None:
    """Counts and times are as old as the listing that says which groups exist; the rest is the full listing's."""
    merged = with_full(known({"": {A: group(1)}}, groups_number=incremental_number), full({"": {A: group(2)}}), 5, AT)
    assert newest_listing(merged) == Listing({"": {A: group(2)}}, timestamp, AT.unix, count)


def test_a_namespace_that_fails_keeps_its_groups_and_its_time() -> None:
    """One bad namespace costs itself: the others are as the full listing read them, and the oldest time is shown."""
    merged = with_full(known({"": {A: group(1)}, "bad": {B: group(1)}}), full({"": {A: group(2)}}, "bad"), 5, AT)
    assert newest_listing(merged) == Listing({"": {A: group(2)}, "bad": {B: group(1)}}, BEFORE.unix, 900.0, 3)
    assert merged.listed == AT


def test_a_namespace_that_never_succeeded_is_missing() -> None:
    """After a start the good namespaces are shown, although one fails."""
    merged = with_full(Known(), full({"": {A: group(2)}}, "bad"), 0, AT)
    assert newest_listing(merged) == Listing({"": {A: group(2)}}, AT.unix, AT.unix, 3)


def test_a_full_listing_without_names_changes_nothing() -> None:
    """Where PBS doesn't name the namespaces, all is as it was."""
    before = known({"": {A: group(1)}})
    assert with_full(before, FullListing(None, {}, 0, 0.0, None, TIMEOUT, goes_on=False), 5, AT) == before


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (70.0, {"": {A: group(2)}, "bad": {B: group(1)}}),
        (110.0, {"": {A: group(2)}, "bad": {B: group(1)}}),
        (110.1, {"": {A: group(2)}}),
        (170.0, {"": {A: group(2)}}),
        (170.1, None),
    ],
)
def test_what_is_too_old_is_not_shown(now: float, shown: Namespaces | None) -> None:
    """Each namespace goes at its own age (100 s here), and nothing is shown once all are too old."""
    merged = with_full(known({"": {A: group(1)}, "bad": {B: group(1)}}), full({"": {A: group(2)}}, "bad"), 5, AT)
    listing = fresh_listing(merged, 100.0, now)
    assert (None if listing is None else listing.namespaces) == shown


@pytest.mark.parametrize(("now", "is_shown"), [(110.0, True), (110.1, False)])
def test_a_datastore_without_namespaces_has_an_age_too(now: float, *, is_shown: bool) -> None:
    """Where the filters keep no namespace, the datastore is shown without groups until it is too old."""
    merged = with_full(Known(), full({}), 0, BEFORE)
    expected = Listing({}, BEFORE.unix, BEFORE.unix, 3) if is_shown else None
    assert fresh_listing(merged, 100.0, now) == expected


def test_nothing_is_shown_before_the_first_listing() -> None:
    """Before the first listing there is nothing to show."""
    assert fresh_listing(Known(), 100.0, 0.0) is None
    assert newest_listing(Known()) is None


def test_a_full_listing_keeps_the_fingerprints_that_agree() -> None:
    """A group that the full listing read otherwise is listed by itself next time."""
    before = replace(known({"": {A: group(1), B: group(1)}}), fingerprints={("", A): row(1), ("", B): row(1)})
    assert with_full(before, full({"": {A: group(1), B: group(2)}}), 5, AT).fingerprints == {("", A): row(1)}


INCREMENTAL_LISTINGS = {
    # What was known with the full listing `number`, what the incremental one (4 and 5) has and listed: what is shown.
    "takes groups that were listed": (3, {"": {A: group(1)}}, {"": {A: group(2)}}, {("", A)}, {"": {A: group(2)}}),
    "takes new groups and drops those that are gone": (
        3,
        {"": {A: group(1)}},
        {"": {B: group(2)}},
        {("", B)},
        {"": {B: group(2)}},
    ),
    "takes new namespaces and drops those that are gone": (
        3,
        {"a": {A: group(1)}},
        {"b": {B: group(2)}},
        {("b", B)},
        {"b": {B: group(2)}},
    ),
    "keeps what a full listing has read meanwhile": (
        3,
        {"": {A: group(7)}},
        {"": {A: group(1)}},
        set(),
        {"": {A: group(7)}},
    ),
    "loses to a full listing that began later": (
        6,
        {"": {A: group(7)}},
        {"": {A: group(2)}},
        {("", A)},
        {"": {A: group(7)}},
    ),
    "doesn't drop a group that a full listing found later": (
        6,
        {"": {A: group(7), B: group(7)}, "a": {C: group(7)}},
        {"": {A: group(2)}},
        {("", A)},
        {"": {A: group(7), B: group(7)}, "a": {C: group(7)}},
    ),
    "doesn't bring back a group that a full listing missed later": (
        6,
        {"": {A: group(7)}},
        {"": {A: group(2), B: group(2)}},
        {("", A), ("", B)},
        {"": {A: group(7)}},
    ),
}


@pytest.mark.parametrize(
    ("number", "before", "read", "listed", "after"), INCREMENTAL_LISTINGS.values(), ids=INCREMENTAL_LISTINGS
)
def test_what_an_incremental_listing_changes(
    number: int, before: Namespaces, read: Namespaces, listed: set[GroupKey], after: Namespaces
) -> None:
    """A group that it didn't list, or that was read later, is as it is known; the later one says which groups exist."""
    found = incremental(read, 5, *listed, groups_number=4)
    assert with_incremental(known(before, full_number=number), found, AT).groups == after


def test_a_full_listing_that_begins_after_the_groups_were_asked_for() -> None:
    """A group that was listed after a full listing began is newer than that; which groups exist is older."""
    before = known({"": {A: group(7), B: group(7)}}, full_number=5)
    merged = with_incremental(before, incremental({"": {A: group(8)}}, 6, ("", A), groups_number=4), AT)
    assert merged.groups == {"": {A: group(8), B: group(7)}}


def test_the_times_after_an_incremental_listing() -> None:
    """Counts and times are the incremental listing's, and the full listing keeps its own."""
    merged = with_incremental(known({"": {A: group(1)}}), incremental({"": {A: group(2)}}, 5, ("", A)), AT)
    assert newest_listing(merged) == Listing({"": {A: group(2)}}, AT.unix, 900.0, 4)


def test_an_incremental_listing_that_failed_in_part_keeps_that_namespaces_time() -> None:
    """The groups that were listed are shown, and the namespace says that counts and times are as old as before."""
    before = known({"": {A: group(1)}, "a": {B: group(1)}})
    found = incremental({"": {A: group(2)}, "a": {B: group(1)}}, 5, ("", A), errors={"": TIMEOUT})
    merged = with_incremental(before, found, AT)
    assert merged.groups == {"": {A: group(2)}, "a": {B: group(1)}}
    assert {name: one.at for name, one in merged.namespaces.items()} == {"": BEFORE, "a": AT}
    assert merged.listed == AT


def test_an_incremental_listing_of_which_all_failed_is_no_listing() -> None:
    """Where each namespace failed nothing has become younger."""
    before = known({"": {A: group(1)}})
    merged = with_incremental(before, incremental({"": {A: group(1)}}, 5, errors={"": TIMEOUT}), AT)
    assert merged.listed == BEFORE
    assert newest_listing(merged) == Listing({"": {A: group(1)}}, BEFORE.unix, 900.0, 4)


@pytest.mark.parametrize(("number", "kept"), [(4, {("", A): row(1)}), (6, {})])
def test_rows_from_before_a_full_listing_must_agree_with_it(number: int, kept: dict[GroupKey, GroupRow]) -> None:
    """A fingerprint from before the full listing that is shown counts only where it says what that listing read."""
    before = known({"": {A: group(7)}}, full_number=number)
    assert with_incremental(before, incremental({"": {A: group(1)}}, 5), AT).fingerprints == kept


def test_rows_that_led_to_a_full_listing_are_its_fingerprints() -> None:
    """Rows that were answered before a full listing are kept where they agree with it, and nothing is listed again."""
    before = replace(known({"": {A: group(1), B: group(2)}}), relist=frozenset({("", A)}))
    assert with_fingerprints(before, {("", A): row(1), ("", B): row(1)}) == replace(
        before, fingerprints={("", A): row(1)}, relist=frozenset()
    )

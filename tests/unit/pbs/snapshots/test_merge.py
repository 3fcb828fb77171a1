"""Merging of overlapping listings: a table by the order of their starts."""

import pytest
from msgspec.structs import replace

from pbs_exporter.clock import Instant
from pbs_exporter.errors import PbsTimeout
from pbs_exporter.pbs.models import GroupRow
from pbs_exporter.pbs.snapshots.full_listing import FullListing
from pbs_exporter.pbs.snapshots.group_summary import FinishedSnapshot, GroupSummary
from pbs_exporter.pbs.snapshots.incremental_listing import IncrementalListing
from pbs_exporter.pbs.snapshots.known import Known
from pbs_exporter.pbs.snapshots.listing import GroupKey, Listing, Namespaces
from pbs_exporter.pbs.snapshots.merge import with_fingerprints, with_full, with_incremental

A, B, C = ("vm", "1"), ("vm", "2"), ("vm", "3")
BEFORE, AT = Instant(1_000.0, 10.0), Instant(1_060.0, 70.0)


def group(count: int) -> GroupSummary:
    """Make a group whose number of snapshots shows which listing read it."""
    return GroupSummary(count=count, owner="o", last=count, newest=FinishedSnapshot(count, 1, "none", encrypted=False))


def row(count: int) -> GroupRow:
    """Make the row of `/groups` that agrees with `group(count)`."""
    return GroupRow("vm", "1", count, count, ("index.json.blob",), "o")


def shown(groups: Namespaces, *, full_at: float = BEFORE.unix) -> Listing:
    """Make the listing of `BEFORE`, whose last full listing was answered at `full_at`."""
    return Listing(groups, BEFORE.unix, full_at, 2)


def full(groups: Namespaces) -> FullListing:
    """Make a successful full listing of three namespaces."""
    return FullListing(groups, 3, 0.1, None, None, goes_on=False)


def incremental(
    groups: Namespaces, number: int, *listed: GroupKey, error: BaseException | None = None
) -> IncrementalListing:
    """Make an incremental listing of some groups, with the row of `A` as its fingerprint."""
    return IncrementalListing(
        namespaces=groups,
        namespace_count=4,
        fingerprints={("", A): row(1)},
        relist=frozenset(),
        number=number,
        listed=frozenset(listed),
        full_is_wanted=False,
        error=error,
        omitted=None,
        all_seen=True,
        goes_on=False,
    )


def test_the_first_full_listing_is_all_that_is_known() -> None:
    """After a full listing, the groups and both times are those of the full listing."""
    known = with_full(Known(), full({"": {A: group(1)}}), 0, AT)
    assert known == Known(Listing({"": {A: group(1)}}, AT.unix, AT.unix, 3), AT.monotonic, full_number=0)


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
    "keeps a new group that was listed later": (
        {"a": {A: group(9)}},
        {("a", A): 6},
        -1,
        {"": {}},
        {"": {}, "a": {A: group(9)}},
    ),
    "doesn't bring back a group that a later listing hasn't": (
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
    """The later of two listings of a group wins; a later incremental listing decides which groups exist."""
    known = Known(shown(before), BEFORE.monotonic, group_numbers=numbers, incremental_number=incremental_number)
    merged = with_full(known, full(read), 5, AT)
    assert merged.namespaces == after
    assert merged.full_number == 5
    assert merged.group_numbers == {key: number for key, number in numbers.items() if number > 5}


@pytest.mark.parametrize(
    ("incremental_number", "timestamp", "listed_at", "count"),
    [(4, AT.unix, AT.monotonic, 3), (6, BEFORE.unix, BEFORE.monotonic, 2)],
    ids=["after an earlier incremental listing", "after a later one"],
)
def test_the_times_after_a_full_listing(
    incremental_number: int, timestamp: float, listed_at: float, count: int
) -> None:
    """Counts and times are as old as the listing that decides which groups exist; the rest is the full listing's."""
    known = Known(shown({"": {A: group(1)}}), BEFORE.monotonic, incremental_number=incremental_number)
    merged = with_full(known, full({"": {A: group(2)}}), 5, AT)
    assert merged.listing == Listing({"": {A: group(2)}}, timestamp, AT.unix, count)
    assert merged.listed_at == listed_at


def test_a_full_listing_keeps_the_fingerprints_that_agree() -> None:
    """A group that differs in the full listing is listed by itself next time."""
    fingerprints = {("", A): row(1), ("", B): row(1)}
    known = Known(shown({"": {A: group(1), B: group(1)}}), BEFORE.monotonic, fingerprints)
    assert with_full(known, full({"": {A: group(1), B: group(2)}}), 5, AT).fingerprints == {("", A): row(1)}


INCREMENTAL_LISTINGS = {
    # Number of the known full listing, known groups, groups and listed keys of incremental listing 5, result.
    "takes groups that were listed": (3, {"": {A: group(1)}}, {"": {A: group(2)}}, {("", A)}, {"": {A: group(2)}}),
    "takes new groups and drops those that are gone": (
        3,
        {"": {A: group(1)}},
        {"": {B: group(2)}},
        {("", B)},
        {"": {B: group(2)}},
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
        {"": {A: group(2), B: group(2)}},
        {("", A), ("", B)},
        {"": {A: group(7), B: group(2)}},
    ),
}


@pytest.mark.parametrize(
    ("number", "before", "read", "listed", "after"), INCREMENTAL_LISTINGS.values(), ids=INCREMENTAL_LISTINGS
)
def test_what_an_incremental_listing_changes(
    number: int, before: Namespaces, read: Namespaces, listed: set[GroupKey], after: Namespaces
) -> None:
    """The listing decides which groups exist; a group that it didn't list, or that was read later, is unchanged."""
    known = Known(shown(before, full_at=900.0), BEFORE.monotonic, full_number=number)
    merged = with_incremental(known, incremental(read, 5, *listed), AT)
    assert merged.listing == Listing(after, AT.unix, 900.0, 4)
    assert (merged.listed_at, merged.incremental_number) == (AT.monotonic, 5)
    assert merged.group_numbers == (dict.fromkeys(listed, 5) if number < 5 else {})


def test_an_incremental_listing_that_failed_in_part_keeps_the_listings_time() -> None:
    """The listed groups are shown, and the listing keeps its earlier timestamp."""
    known = Known(shown({"": {A: group(1)}}), BEFORE.monotonic, incremental_number=2)
    found = incremental({"": {A: group(2)}}, 5, ("", A), error=PbsTimeout("no answer within 5 s"))
    merged = with_incremental(known, found, AT)
    assert merged.listing == shown({"": {A: group(2)}})
    assert (merged.listed_at, merged.incremental_number) == (BEFORE.monotonic, 2)


@pytest.mark.parametrize(("number", "kept"), [(4, {("", A): row(1)}), (6, {})])
def test_rows_from_before_a_full_listing_must_agree_with_it(number: int, kept: dict[GroupKey, GroupRow]) -> None:
    """A fingerprint from before the last full listing is kept only if it agrees with that listing."""
    known = Known(shown({"": {A: group(7)}}), BEFORE.monotonic, full_number=number)
    assert with_incremental(known, incremental({"": {A: group(1)}}, 5), AT).fingerprints == kept


def test_an_incremental_listing_shows_nothing_without_a_full_one() -> None:
    """Without a full listing, fingerprints are kept, and no groups are shown."""
    merged = with_incremental(Known(), incremental({"": {A: group(1)}}, 5, ("", A)), AT)
    assert merged == Known(fingerprints={("", A): row(1)}, group_numbers={("", A): 5})


def test_rows_that_led_to_a_full_listing_are_its_fingerprints() -> None:
    """Rows from before a full listing are kept if they agree with it, and nothing is listed again."""
    known = Known(shown({"": {A: group(1), B: group(2)}}), BEFORE.monotonic, relist=frozenset({("", A)}))
    assert with_fingerprints(known, {("", A): row(1), ("", B): row(1)}) == replace(
        known, fingerprints={("", A): row(1)}, relist=frozenset()
    )

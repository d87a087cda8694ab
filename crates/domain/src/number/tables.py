"""Writes `country/table.rs` and `number/premium.rs` from libphonenumber's metadata.

How to run it, from the root of the repository:

    pip install phonenumbers==9.0.43
    python3 crates/domain/src/number/tables.py
    cargo fmt

The metadata's patterns describe finite sets of numbers, so nothing is sampled here: every pattern becomes an
automaton, and numbers below a prefix are counted exactly.
"""

import re._constants as op
import re._parser as parser
from functools import cache
from pathlib import Path

import phonenumbers
from phonenumbers import PhoneMetadata

SRC = Path(__file__).resolve().parent.parent

# A prefix is listed when at least this share of the numbers below it, at one length, is assigned.
SHARE = 0.5
# Longer national prefixes describe a handful of numbers each, and are left out.
LONGEST = 6
# A bare number that begins with its own calling code is read as bare when this many times likelier.
CLEARLY = 4
# Belarus dials 8, waits for a tone, and goes on with 0: people write 80.
TRUNK = {"BY": "80"}

PEOPLE = ["fixed_line", "mobile"]
KINDS = ["premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail"]
KINDS += PEOPLE


class Plan:
    """The numbers of one calling code: an automaton whose ends are (region, kind, lengths)."""

    def __init__(self, regions):
        self.edges, self.silent, self.ends = [], [], {}
        self.start = self.state()
        self.lengths = set()
        for region, data in regions:
            for kind in ["general_desc", *KINDS]:
                if found := lengths(data, kind):
                    self.lengths |= found
                    end = self.add(parser.parse(getattr(data, kind).national_number_pattern), self.start)
                    self.ends[end] = (region, kind, found)
        self.closed = cache(self.closed)
        self.step = cache(self.step)
        self.count = cache(self.count)

    def state(self):
        self.edges.append([])
        self.silent.append([])
        return len(self.edges) - 1

    def add(self, tree, at):
        for what, value in tree:
            after = self.state()
            if what is op.LITERAL:
                self.edges[at].append(({value - 48}, after))
            elif what is op.IN:
                self.edges[at].append((set().union(*map(digits, value)), after))
            elif what is op.BRANCH:
                for branch in value[1]:
                    self.silent[self.add(branch, at)].append(after)
            elif what is op.SUBPATTERN:
                self.silent[self.add(value[3], at)].append(after)
            elif what is op.MAX_REPEAT:
                fewest, most, body = value
                for turn in range(most + 1):
                    if turn >= fewest:
                        self.silent[at].append(after)
                    if turn < most:
                        at = self.add(body, at)
            else:
                raise ValueError(f"{what} in a pattern")
            at = after
        return at

    def closed(self, states):
        found, todo = set(states), list(states)
        while todo:
            for after in self.silent[todo.pop()]:
                if after not in found:
                    found.add(after)
                    todo.append(after)
        return frozenset(found)

    def step(self, states, digit):
        return self.closed(frozenset(to for s in states for on, to in self.edges[s] if digit in on))

    def begin(self, prefix=""):
        states = self.closed(frozenset([self.start]))
        for digit in prefix:
            states = self.step(states, int(digit))
        return states

    def kind(self, states, length):
        """What a whole number of this length is; the order is libphonenumber's own."""
        matches = {self.ends[s][:2] for s in states if s in self.ends and length in self.ends[s][2]}
        kinds = set()
        for region in {r for r, kind in matches if kind == "general_desc"}:
            kinds |= set([k for k in KINDS if (region, k) in matches][:1])
        if kinds - {"premium_rate", "shared_cost"}:
            return "other"
        return min(kinds, default=None)

    def count(self, states, left, length):
        """How many numbers of this length are premium rate, shared cost, anything else."""
        if not states:
            return 0, 0, 0
        if left == 0:
            kind = self.kind(states, length)
            return tuple(int(kind == k) for k in ("premium_rate", "shared_cost", "other"))
        below = [self.count(self.step(states, d), left - 1, length) for d in range(10)]
        return tuple(map(sum, zip(*below)))

    def dear(self, lengths, prefix=""):
        """The shortest prefixes below which every number is premium rate, or every number shared cost."""
        states, premium, shared, other, share = self.begin(prefix), 0, 0, 0, 0
        for length in lengths:
            if (left := length - len(prefix)) >= 0:
                p, s, o = self.count(states, left, length)
                premium, shared, other = premium + p, shared + s, other + o
                share = max(share, (p + s) / 10**left)
        if not premium and not shared:
            return
        if not other and not (premium and shared) and share >= SHARE:
            yield prefix, "premium" if premium else "shared"
        elif len(prefix) < LONGEST:
            for digit in "0123456789":
                yield from self.dear(lengths, prefix + digit)

    def starts(self, lengths):
        """The first two digits of numbers that have one of these lengths; one digit where most follow."""
        pairs = {f"{n:02}" for n in range(100) for length in lengths
                 if any(self.count(self.begin(f"{n:02}"), length - 2, length))}
        whole = {d for d in "0123456789" if sum(d + e in pairs for e in "0123456789") > 5}
        return sorted(whole | {p for p in pairs if p[0] not in whole})


def digits(item):
    what, value = item
    if what is op.LITERAL:
        return {value - 48}
    if what is op.RANGE:
        return set(range(value[0] - 48, value[1] - 47))
    assert (what, value) == (op.CATEGORY, op.CATEGORY_DIGIT), item
    return set(range(10))


def lengths(data, kind):
    desc = getattr(data, kind)
    if desc is None or desc.national_number_pattern is None:
        return set()
    return set(desc.possible_length) or set(data.general_desc.possible_length)


def country(region):
    """A row of the table; None where numbers are too short to be told from others, as on Tristan da Cunha."""
    data = PhoneMetadata.metadata_for_region(region)
    code, plan = str(data.country_code), Plan([(region, data)])
    trunk = TRUNK.get(region, data.national_prefix or "")
    fits = [n for n in sorted(plan.lengths) if 8 <= len(code) + n <= 15]
    people = [n for n in fits if any(n in lengths(data, kind) for kind in PEOPLE)]
    row = f'plan("{region}", {code}, "{trunk}", &{people})'

    if not people:
        return None
    rest = [n for n in fits if n not in people]
    starts = [s for s in plan.starts(rest) if not (trunk == "0" and s.startswith("0"))]
    if starts:
        row += f".services(&{starts}, &{rest})"

    def share(prefix, left, length):
        return sum(plan.count(plan.begin(prefix), left, length)) / 10**left

    bare = [n for n in people if (left := n - len(code)) in people and code != trunk
            and share(code, left, n) > CLEARLY * share("", left, left)]
    if bare:
        row += f".bare(&{bare})"
    return "    " + row.replace("'", '"') + ","


def header(comment):
    return f"""\
{comment} Derived from the metadata of libphonenumber (https://github.com/google/libphonenumber), Copyright The
{comment} Libphonenumber Authors, Apache License 2.0, by way of the Python package
{comment} phonenumbers {phonenumbers.__version__}.
{comment} Written by `number/tables.py`; change that script rather than this file.
"""


def main():
    rows = list(filter(None, map(country, sorted(phonenumbers.SUPPORTED_REGIONS))))
    (SRC / "country").mkdir(exist_ok=True)
    (SRC / "country/table.rs").write_text(
        "//! What is known of each country's numbering plan, sorted by country.\n"
        "//!\n" + header("//!") + "\n"
        "use super::{Plan, plan};\n\n"
        "#[rustfmt::skip]\n"
        f"pub(super) const TABLE: [Plan; {len(rows)}] = [\n" + "\n".join(rows) + "\n];\n")

    premium, at_length, shared = [], [], []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        if regions == ("001",):
            continue
        plan = Plan([(region, PhoneMetadata.metadata_for_region(region)) for region in regions])
        found = list(plan.dear(plan.lengths))
        for prefix, kind in found:
            (premium if kind == "premium" else shared).append(int(f"{code}{prefix}"))
        for length in plan.lengths:
            for prefix, kind in plan.dear([length]):
                if kind == "premium" and not prefix.startswith(tuple(known for known, _ in found)):
                    at_length.append((int(f"{code}{prefix}"), len(str(code)) + length))

    text = "//! How numbers begin that cost more than calling a person, sorted as numbers.\n//!\n"
    text += header("//!")
    for name, item, values, doc in [
        ("PREMIUM", "u64", premium, "Premium rate: the called party is paid by the caller."),
        ("PREMIUM_AT_LENGTH", "(u64, u32)", at_length,
         "Premium rate where the whole number has this many digits; shorter and longer ones begin so too."),
        ("SHARED_COST", "u64", shared, "Shared cost: the caller pays more than for a usual call."),
    ]:
        text += f"\n/// {doc}\npub(super) const {name}: [{item}; {len(values)}] = {sorted(values)};\n"
    (SRC / "number/premium.rs").write_text(text)


if __name__ == "__main__":
    main()

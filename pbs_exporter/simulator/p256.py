"""Keys and signatures on the elliptic curve P-256 (FIPS 186-4), for the certificate of a simulated PBS.

The arithmetic isn't protected against observers who measure its time: it is for throwaway keys only.
"""

import hashlib
import secrets
from typing import Self

import msgspec

Point = tuple[int, int] | None
"""A point on the curve; `None` is the one at infinity."""

PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SIZE = 32
"""Bytes of a coordinate and of a private key."""


class PrivateKey(msgspec.Struct, frozen=True):
    """A private key, and the coordinates of its public key."""

    number: int
    public: tuple[int, int]

    @classmethod
    def make(cls) -> Self:
        """Return a new random key."""
        return cls(*_random_multiple())

    @property
    def public_bytes(self) -> bytes:
        """The public key as certificates have it: uncompressed."""
        return b"\x04" + b"".join(coordinate.to_bytes(SIZE, "big") for coordinate in self.public)

    def sign(self, data: bytes) -> tuple[int, int]:
        """Return the signature (ECDSA with SHA-256) of the data."""
        digest = int.from_bytes(hashlib.sha256(data).digest(), "big")
        # A zero has a probability of 2**-256.
        number, (x, _) = _random_multiple()
        r = x % ORDER
        return r, (digest + r * self.number) * pow(number, -1, ORDER) % ORDER


def _random_multiple() -> tuple[int, tuple[int, int]]:
    """Return a random number, and the generator multiplied by it."""
    number = 1 + secrets.randbelow(ORDER - 1)
    product: Point = None
    addend: Point = GENERATOR
    for bit in reversed(f"{number:b}"):
        if bit == "1":
            product = _sum(product, addend)
        addend = _sum(addend, addend)
    if product is None:
        raise AssertionError("only a multiple of the order gives the point at infinity")
    return number, product


def _sum(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2:
        if (y1 + y2) % PRIME == 0:
            return None
        # The curve's coefficient a is -3.
        slope = 3 * (x1 * x1 - 1) * pow(2 * y1, -1, PRIME)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, PRIME)
    x3 = (slope * slope - x1 - x2) % PRIME
    return x3, (slope * (x1 - x3) - y1) % PRIME

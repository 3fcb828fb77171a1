"""The two dates of a certificate, read from its DER bytes.

A library that reads whole certificates also refuses them: the certificate that PBS makes for itself has the serial
number 0, which RFC 5280 forbids. Here all other fields are skipped unread.
"""

import datetime as dt
import re

import msgspec

from pbs_exporter.errors import TlsFailed

_INTEGER, _SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x02, 0x30, 0x17, 0x18, 0xA0
_LONG_FORM = 0x80
_LENGTH_BYTES = 4
_LATER_CENTURY = 50

_DATE = re.compile(rb"([0-9]{2}|[0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z")


class CertificateDates(msgspec.Struct, frozen=True):
    """When a certificate becomes valid, and when it expires."""

    not_before: dt.datetime
    not_after: dt.datetime


def certificate_dates(der: bytes) -> CertificateDates:
    """Return the dates of a certificate. Raise `TlsFailed` if the bytes aren't a certificate with valid dates."""
    try:
        return _dates(der)
    except ValueError:
        raise TlsFailed("the certificate can't be read") from None


def _dates(der: bytes) -> CertificateDates:
    # RFC 5280: the certificate's first part begins with version (optional), serial number, signature algorithm and
    # issuer. The dates follow.
    certificate, _ = _value(der, _SEQUENCE)
    rest, _ = _value(certificate, _SEQUENCE)
    if rest[:1] == bytes([_VERSION]):
        _, rest = _value(rest, _VERSION)
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):
        _, rest = _value(rest, tag)
    validity, _ = _value(rest, _SEQUENCE)
    not_before, validity = _date(validity)
    not_after, validity = _date(validity)
    if validity:
        raise ValueError
    return CertificateDates(not_before, not_after)


def _date(data: bytes) -> tuple[dt.datetime, bytes]:
    """Return the date at the beginning, and what follows it."""
    short = data[:1] == bytes([_UTC_TIME])
    text, rest = _value(data, _UTC_TIME if short else _GENERALIZED_TIME)
    match = _DATE.fullmatch(text)
    if match is None or len(match[1]) != (2 if short else 4):
        raise ValueError
    year, month, day, hour, minute, second = map(int, match.groups())
    if short:
        year += 1900 if year >= _LATER_CENTURY else 2000
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC), rest


def _value(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the value of the element at the beginning, which must have this tag, and what follows the element."""
    if len(data) < 2 or data[0] != tag:  # noqa: PLR2004 - tag and length
        raise ValueError
    begin, length = 2, data[1]
    if length >= _LONG_FORM:
        begin += length - _LONG_FORM
        if not 2 < begin <= 2 + _LENGTH_BYTES:  # noqa: PLR2004 - as above
            raise ValueError
        length = int.from_bytes(data[2:begin], "big")
    end = begin + length
    if len(data) < end:
        raise ValueError
    return data[begin:end], data[end:]

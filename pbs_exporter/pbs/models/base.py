"""The base of the models.

PBS omits unknown values or sends `null`: both are `None` here. Fields without an attribute are skipped. Times are in
Unix seconds, sizes in bytes.
"""

import msgspec


class ApiObject(msgspec.Struct, frozen=True, rename="kebab"):
    """Base of PBS's objects, whose field names are in kebab-case."""

"""What all of PBS's objects have in common.

PBS leaves out what it doesn't know, or answers `null`: both are `None` here. Fields that have no attribute are
skipped. Times are Unix seconds, sizes bytes.
"""

import msgspec


class ApiObject(msgspec.Struct, frozen=True, rename="kebab"):
    """Base: most of PBS's objects name their fields in kebab-case."""

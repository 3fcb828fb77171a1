"""Samples with times, as `promtool tsdb create-blocks-from openmetrics` reads them."""

from collections.abc import Mapping

END = "# EOF\n"


def sample(name: str, labels: Mapping[str, str], value: float | str, at: float) -> str:
    """Write the line of one sample, at a Unix time."""
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value} {at:.3f}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

"""From samples to the bytes of a response."""

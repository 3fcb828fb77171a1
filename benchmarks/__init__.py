"""Benchmarks: the exporter, a simulated PBS and the measuring client, each in a process of its own."""

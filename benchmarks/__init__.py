"""Benchmarks of the exporter. It, a simulated PBS and the client run in separate processes."""

"""Tests of the simulated PBS."""

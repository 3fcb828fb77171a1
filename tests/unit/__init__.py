"""Tests of single modules, in the tree of what they test."""

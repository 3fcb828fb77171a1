"""Tests of the image, and of each way to run it."""

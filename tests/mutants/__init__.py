"""Mutants: the sources with one guard taken away each, and the tests that must notice it."""

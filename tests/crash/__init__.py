"""Tests that break something on purpose: processes, connections, answers, time."""

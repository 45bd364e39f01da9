"""Tests on real PostgreSQL servers."""

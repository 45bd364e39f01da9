"""Tests of what is relied on in libraries: when one of them changes it, these say so."""

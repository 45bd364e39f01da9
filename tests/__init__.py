"""The tests; see README.md here for how they are arranged."""

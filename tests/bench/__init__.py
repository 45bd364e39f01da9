"""Speed, size and memory, measured side by side in one run: what `make bench` prints."""

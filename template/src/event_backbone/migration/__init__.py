"""Moves the payloads of a stream's events from one storage to another, while producers and consumers go on."""

"""What a sweep asks for: read from a file, planned, rehearsed, kept as it was launched."""

"""Measuring as somebody asks on the command line: a run, a tokenizer's file, or folders of somebody else's pictures."""

"""Optuna within each arm of a sweep: what is searched, who suggests, who works, what won."""

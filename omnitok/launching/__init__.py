"""What of a plan is run: here or on a cluster, watched, tried again, cancelled."""

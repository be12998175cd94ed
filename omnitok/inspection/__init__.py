"""Looking at what was run, without a tracker or a cluster: what was written, where a number is from, what may be deleted,
whether a run can be had again."""

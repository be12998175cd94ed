"""What is to be known before a plan is paid for: hours, disk, what is shared, whether the arms are compared fairly."""

"""From a question in a file to finished runs: read, plan, launch, watch."""

"""Every figure of README and docs: jobs that make them, results, and documents made of those."""

"""Why models err where they do."""

"""What a model does inside: rules found in its parts, and parts replaced by rules."""

"""Results as tables, figures and documents."""

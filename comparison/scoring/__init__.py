"""Any model on games: measures, baselines, errors, matching."""

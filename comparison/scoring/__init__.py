"""Any model on games: measures, intervals, baselines, errors, matching."""

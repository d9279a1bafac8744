"""Why a model answers as it does at one position."""

"""The parts of scripts/bench. Not an installable package."""

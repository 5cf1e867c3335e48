"""How right a replay's answers are, where the recording says what was really there."""

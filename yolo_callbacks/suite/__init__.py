"""Run several callbacks on one model: events, errors, ranks, state and the table at the end."""

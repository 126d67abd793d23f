"""A replica's map from session to subscribers: fan-out of what the store delivers once to every subscriber attached here."""

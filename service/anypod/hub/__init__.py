"""A replica's map from session to subscribers: what is heard from the store once is delivered to everybody attached here."""

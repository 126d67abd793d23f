"""What is done to a server, and what is counted meanwhile. A load knows connections and the clock, and no row or bar."""

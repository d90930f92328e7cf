"""When a rule would have paged, for every threshold at once, and how that scores against incidents."""

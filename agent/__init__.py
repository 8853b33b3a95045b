"""Watch this host and ship what happens; imports nothing of the house, standard library first."""

"""What a shell offers for a word that is being typed."""

"""What a person sees while a run goes on, and is asked."""

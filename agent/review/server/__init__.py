"""The pages of a review, served to one browser on this machine."""

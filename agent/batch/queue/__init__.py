"""What is to be done and what is done, in one database of the batch's folder."""

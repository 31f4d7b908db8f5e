"""What runs in the container. Stdlib only, Python 3.8 and later, few imports: it is resident."""

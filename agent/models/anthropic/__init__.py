"""Claude, by its own API, on Bedrock and on Vertex AI."""

"""The Agent Client Protocol: editors lead sealed chats over standard input and output."""

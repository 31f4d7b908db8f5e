"""What a repository's files say about the policy it needs: data in, a proposed policy out."""

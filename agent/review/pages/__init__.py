"""What stands where on a page: templates of tags that escape what they are given."""

"""The YAML of a policy: strict decoding, composition, schema, and writing it again."""

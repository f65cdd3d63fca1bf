"""Configuration: the schema, scenario files, and composing them into conditions. Knows no tensor and no result."""

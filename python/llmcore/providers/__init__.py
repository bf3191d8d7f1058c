"""The APIs that llmcore speaks: encode and decode, pure, bytes in and bytes out. `registry` makes them by name."""

"""Versioned tables, immutable blobs, result manifests, frozen workspaces: read at a version, write exactly once."""

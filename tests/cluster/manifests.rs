//! Manifests of Kubernetes against the schemas of its API.

"""Parts of a gate's life that `couchgate.service` puts together."""

"""What batches have beyond the fields of a store: features, edges, derivatives; stored or computed."""

"""Keywords of datasets and loaders that there were once, and what to write in their place."""

from __future__ import annotations

__all__ = ["MOVED"]

#: By the keyword of then, what is written now.
MOVED = {
    "bucket_size": "Batches(size, bucket=...)",
    "cache_bytes": "cache=Cache(bytes=...)",
    "cache_features": "cache=Cache(features=...)",
    "cache_neighbors": "cache=Cache(neighbors=...)",
    "collate_fn": "layout=...",
    "edges": "neighbors=Edges(cutoff, carry=...)",
    "energy_reference": "references=...",
    "features_only": "fields='energies'",
    "featurizer": "features=function",
    "force_fraction": ".with_forces(fraction=...)",
    "force_min_structures": ".with_forces(fraction, minimum=...)",
    "force_resample_epochs": ".with_forces(fraction, every=...)",
    "force_sampling": ".with_forces(fraction, sampling=...)",
    "force_seed": ".with_forces(fraction, seed=...)",
    "max_energy": ".select(max_energy=...)",
    "max_force": ".select(max_force=...)",
    "max_force_component": ".select(max_force_component=...)",
    "observation_model": ".loss(predictions, batch, observation_model=...)",
    "prefetch": "threads=Threads(ahead=...)",
    "return_atoms": "fields=[..., 'atoms']",
    "where": ".select(where=...)",
}

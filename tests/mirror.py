"""Which tests test a module: those in the file of the same name, or those that are named here.

``python tests/mirror.py store/shards`` prints the test files of ``zstruct/store/shards.py``, and the module
itself for its examples. `make test-one MODULE=store/shards` hands them to pytest.
"""

import functools
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Modules without a test file of their own, by the file that tests what they do. These are the parts that
#: something larger is made of: kernels, which are tested where arrays go in and come out, and the steps of
#: what users call.
THROUGH = {
    "batch/test_pack.py": ["batch/tensors"],
    "batch/test_union.py": ["batch/origin"],
    "building/test_append.py": [
        "building/append_report",
        "building/append_request",
        "building/gathered_splits",
        "building/kept_forms",
        "building/versions",
    ],
    "building/test_build.py": [
        "building/build_request",
        "building/encoding",
        "building/filters",
        "building/finalize",
        "building/input_options",
        "building/making",
        "building/markers",
        "building/order",
        "building/parse",
        "building/part_blocks",
        "building/parts",
        "building/plan",
        "building/report",
        "building/run_options",
        "building/shards",
        "building/skipped",
        "progress",
    ],
    "building/test_decimal.py": ["store/savings"],
    "building/test_drop.py": [
        "building/beginning",
        "building/drop_report",
        "building/drop_request",
        "cli/drop",
    ],
    "building/test_followed_groups.py": [
        "building/copied_groups",
        "building/gathered_groups",
        "building/gathering",
        "building/origins",
    ],
    "building/test_from_stores.py": [
        "building/blocks",
        "building/fields",
        "building/parse_stored",
        "building/selected",
        "building/stored_blocks",
        "sources/store/reading",
        "store/shared_shards",
    ],
    "building/test_peek.py": ["building/peek_report", "cli/peek"],
    "building/test_remote_append.py": ["store/grown", "store/remote_folder"],
    "building/test_repeats.py": ["building/duplicates"],
    "building/test_resume.py": ["building/manifest"],
    "building/test_rewrite.py": [
        "building/rewrite_decimals",
        "building/rewrite_plan",
        "building/rewrite_report",
        "building/rewrite_request",
        "building/rewrite_shards",
    ],
    "building/test_round_trip.py": ["building/provenance", "to_ase"],
    "cli/test_label.py": ["cli/compare"],
    "coverage/test_farthest.py": ["coverage/kernels/distances"],
    "coverage/test_leverage.py": ["coverage/spectrum"],
    "coverage/test_projection.py": ["cli/project"],
    "coverage/test_samplings.py": ["coverage/vectors"],
    "explore/test_accessor.py": [
        "explore/accessor/base",
        "explore/accessor/comparisons",
        "explore/accessor/outputs",
        "explore/accessor/selections",
        "explore/accessor/stored_groups",
        "explore/accessor/values",
        "explore/open_groups",
        "explore/ragged_dataset",
    ],
    "explore/test_exported.py": ["explore/conversions", "explore/to_pymatgen"],
    "explore/test_guides.py": ["explore/arguments"],
    "explore/test_open_store.py": ["explore/attributes", "explore/chunks", "explore/origin"],
    "explore/test_plots.py": ["explore/accessor/drawings", "explore/groupings", "explore/references"],
    "explore/test_quantities.py": ["explore/composition", "explore/presence", "explore/reductions"],
    "explore/test_select.py": ["explore/dataset_table", "explore/untouched"],
    "exporters/test_export.py": [
        "exporters/exporter",
        "exporters/registry",
        "exporters/structures",
        "exporters/target",
    ],
    "exporters/test_hdf5_groups.py": ["exporters/hdf5_index", "exporters/hdf5_layout"],
    "exporters/test_limits.py": ["exporters/blocks"],
    "exporters/test_lines.py": ["exporters/kernels/lines"],
    "exporters/test_mtp.py": ["exporters/virials"],
    "exporters/test_npz.py": ["exporters/named_arrays"],
    "exporters/test_xyz.py": ["exporters/compression"],
    "features/external/test_given.py": ["features/external/numbers", "features/external/spool"],
    "features/external/test_group.py": ["cli/features_add"],
    "features/test_acsf.py": ["features/kernels/acsf"],
    "features/test_chebyshev.py": [
        "features/kernels/chebyshev",
        "features/kernels/chebyshev_changes",
        "features/kernels/chebyshev_field",
        "features/kernels/chebyshev_moments",
        "features/kernels/chebyshev_rows",
    ],
    "features/test_descriptor.py": ["geometry/pieces"],
    "features/test_featurize.py": [
        "features/featurize_groups",
        "features/featurize_pairs",
        "features/featurize_tasks",
        "features/groups",
    ],
    "features/test_growing.py": ["features/known_rows"],
    "features/test_statistics.py": ["features/kernels/statistics"],
    "geometry/test_distances.py": ["geometry/kernels/cells", "geometry/kernels/distances"],
    "geometry/test_neighbors.py": ["geometry/kernels/neighbors", "geometry/kernels/simd"],
    "indexing/test_index.py": [
        "building/indexed",
        "building/passing",
        "indexing/columns",
        "query/formulas",
        "query/index",
    ],
    "jit/test_kernel.py": ["jit/compiler", "jit/registry"],
    "labels/test_addition.py": [
        "labels/given",
        "labels/report",
        "labels/tables",
        "labels/units",
        "labels/virials",
        "store/label_writer",
        "store/labels",
    ],
    "labels/test_compare.py": ["labels/comparison", "labels/errors"],
    "labels/test_label.py": [
        "labels/calculators",
        "labels/calls",
        "labels/completion",
        "labels/label_tasks",
        "labels/labeller",
        "labels/outcome",
        "labels/part_columns",
    ],
    "layouts/test_graph.py": ["layouts/edges"],
    "layouts/test_padded.py": ["layouts/kernels", "layouts/padding"],
    "loading/cache/test_cache.py": ["loading/cache/blocks"],
    "loading/derived/test_extras.py": [
        "loading/derived/computation",
        "loading/derived/featurizer",
        "loading/derived/stored_or_computed",
    ],
    "loading/gather/test_gather.py": [
        "loading/gather/batch_memory",
        "loading/gather/block_groups",
        "loading/gather/field_steps",
        "loading/gather/frame",
        "loading/gather/kernels",
    ],
    "loading/mixture/test_reader.py": [
        "loading/gather/interleaved",
        "loading/gather/mixed",
        "loading/gather/mixed_kernels",
        "loading/mixture/description",
        "loading/mixture/parts",
        "loading/mixture/pipeline",
    ],
    "loading/order/test_batch_samplers.py": ["loading/order/cuts"],
    "loading/order/test_mixture_sampler.py": ["loading/order/kernels"],
    "loading/test_dataset.py": ["loading/indices", "loading/torch_dataset"],
    "loading/test_labels.py": ["store/labelled"],
    "loading/test_loader.py": ["loading/lifetime", "loading/order/epoch_order", "loading/prefetch"],
    "loading/test_options.py": ["loading/dataset_options", "loading/loader_options", "loading/moved_options"],
    "loading/test_precision.py": ["precision"],
    "loading/test_reader.py": ["loading/batch_reader", "loading/counts", "loading/numpy_batches"],
    "loading/test_recipe.py": ["loading/fields"],
    "loading/test_views.py": ["loading/description"],
    "query/test_against_duckdb.py": [
        "memory",
        "query/block",
        "query/conditions",
        "query/evaluation",
        "query/values",
    ],
    "query/test_binding.py": ["query/messages", "query/names", "query/operands", "query/quantities"],
    "query/test_listing.py": ["query/reading"],
    "query/test_parser.py": ["query/syntax", "query/tokens"],
    "query/test_selection.py": ["query/choice", "query/free_atoms", "query/positions", "query/table"],
    "reporting/test_drawings.py": ["reporting/ticks"],
    "reporting/test_page.py": [
        "reporting/findings",
        "reporting/sections",
        "reporting/tables",
    ],
    "reporting/test_sample.py": ["reporting/groups"],
    "reporting/test_writing.py": ["cli/report", "reporting/options"],
    "similarity/test_duplicates.py": ["similarity/chosen", "similarity/groups"],
    "similarity/test_reduction.py": ["similarity/kernels/reduction"],
    "similarity/test_search.py": [
        "similarity/arrays",
        "similarity/fingerprints",
        "similarity/kernels/agreement",
        "similarity/kernels/fingerprints",
        "similarity/kernels/fitting",
        "similarity/kernels/partners",
        "similarity/kernels/superposition",
        "similarity/kernels/trials",
        "similarity/pairs",
    ],
    "sources/archive/test_source.py": [
        "sources/archive/ahead",
        "sources/archive/calls",
        "sources/archive/contents",
        "sources/archive/frames",
        "sources/archive/listing",
        "sources/archive/passing",
        "sources/archive/readers",
        "sources/archive/zipped",
    ],
    "sources/ase/test_database.py": ["sources/ase/rows"],
    "sources/ase/test_objects.py": ["sources/ase/bare", "sources/ase/graphs"],
    "sources/ase/test_source.py": ["sources/ase/atoms"],
    "sources/cp2k/test_output.py": ["sources/cp2k/source"],
    "sources/deepmd/test_source.py": ["sources/deepmd/rows", "sources/deepmd/system"],
    "sources/hdf5/test_direct.py": [
        "sources/hdf5/dataset_kernels",
        "sources/hdf5/group_kernels",
        "sources/hdf5/link_kernels",
        "sources/hdf5/object_kernels",
        "sources/hdf5/pages",
    ],
    "sources/hdf5/test_source.py": [
        "sources/hdf5/aenet",
        "sources/hdf5/blocks",
        "sources/hdf5/file",
        "sources/hdf5/flat",
        "sources/hdf5/groups",
        "sources/hdf5/mace",
        "sources/hdf5/plan",
        "sources/hdf5/reading",
    ],
    "sources/lammps/test_source.py": [
        "sources/lammps/headers",
        "sources/lammps/structure",
        "sources/lammps/styles",
    ],
    "sources/lines/test_kernels.py": ["sources/lines/rows", "sources/lines/windows"],
    "sources/lines/test_tables.py": ["sources/lines/table_kernels"],
    "sources/memory_arrays/test_source.py": ["sources/array_columns", "sources/memory_arrays/table"],
    "sources/mtp/test_source.py": ["sources/mtp/structure"],
    "sources/normalize/test_normalize.py": [
        "sources/normalize/checks",
        "sources/normalize/column_shapes",
        "sources/normalize/contradictions",
        "sources/remarks",
    ],
    "sources/npz/test_source.py": [
        "sources/array_files/geometry",
        "sources/array_files/names",
        "sources/array_files/recognition",
        "sources/array_files/row_edges",
        "sources/array_files/source",
        "sources/array_files/stored",
        "sources/array_files/table",
        "sources/npz/archive",
    ],
    "sources/pacemaker/test_source.py": ["sources/pacemaker/frame"],
    "sources/parquet/test_source.py": [
        "sources/parquet/columns",
        "sources/parquet/file",
        "sources/parquet/lists",
        "sources/parquet/structures",
    ],
    "sources/runner/test_damage.py": ["sources/lines/frames", "sources/lines/source"],
    "sources/runner/test_source.py": ["sources/runner/structure"],
    "sources/store/test_source.py": ["sources/store/columns"],
    "sources/test_compression.py": ["sources/lines/streams"],
    "sources/test_inputs.py": ["sources/items"],
    "sources/test_pickles.py": ["sources/opcodes"],
    "sources/test_registry.py": ["sources/formats", "sources/options", "sources/source"],
    "sources/vasp/test_outcar.py": ["sources/outputs", "sources/vasp/header", "sources/vasp/steps"],
    "sources/xsf/test_source.py": ["sources/columns", "sources/xsf/lines"],
    "sources/xsf/test_usual.py": ["sources/together", "sources/xsf/kernels"],
    "sources/xyz/test_cp2k.py": ["sources/xyz/cp2k_cells"],
    "sources/xyz/test_dialects.py": ["sources/xyz/comments", "sources/xyz/geometry", "sources/xyz/texts"],
    "sources/xyz/test_kernels.py": [
        "sources/lines/characters",
        "sources/lines/decimals",
        "sources/lines/words",
        "sources/xyz/pairs",
    ],
    "sources/xyz/test_source.py": [
        "sources/xyz/atoms",
        "sources/xyz/bad_frames",
        "sources/xyz/comment_lines",
    ],
    "splits/test_leaks.py": ["cli/duplicates"],
    "splits/test_parts.py": ["store/split_parts"],
    "splits/test_said_parts.py": ["query/unknown_texts"],
    "splits/test_storage.py": ["store/splits"],
    "stats/test_compute.py": ["stats/kernels", "stats/scan"],
    "stats/test_outliers.py": ["cli/outliers"],
    "stats/test_summary.py": ["records"],
    "store/test_decimals.py": ["store/kernels"],
    "store/test_format.py": [
        "store/catalog",
        "store/checksums",
        "store/digests",
        "store/metadata",
        "store/spec",
        "store/zarr_check",
    ],
    "store/test_history.py": ["cli/log"],
    "store/test_metadata_checks.py": ["store/attribute_checks"],
    "store/test_shards.py": ["store/chunk_reader", "store/files", "store/view"],
    "store/test_store.py": ["store/handles", "store/row_reader"],
    "store/test_swapped_shards.py": ["store/watch"],
    "store/test_verify.py": ["store/shard_checks"],
    "test_arguments.py": ["errors", "text"],
    "test_cli.py": [
        "cli/append",
        "cli/build",
        "cli/export",
        "cli/featurize",
        "cli/index",
        "cli/info",
        "cli/ls",
        "cli/references",
        "cli/rewrite",
        "cli/select",
        "cli/split",
        "cli/stats",
        "cli/values",
        "cli/verify",
    ],
    "test_precompilation.py": ["cli/warmup"],
    "test_random.py": ["feistel"],
    "transforms/test_fused.py": ["loading/gather/column_writer"],
}


@functools.cache
def modules() -> list[str]:
    """Return all modules of zstruct but those that only gather names: ``store/shards`` and so on."""
    package = ROOT / "zstruct"
    found = (path.relative_to(package).with_suffix("") for path in package.rglob("[!_]*.py"))
    return sorted(path.as_posix() for path in found)


def mirror_of(module: str) -> Path:
    """Return the path of the test file that a module has, or would have."""
    path = Path(module)
    return ROOT / "tests" / path.parent / f"test_{path.name}.py"


def files_testing(module: str) -> list[Path]:
    """Return the test files of a module."""
    mirror = mirror_of(module)
    if mirror.is_file():
        return [mirror]
    return [ROOT / "tests" / test for test, tested in THROUGH.items() if module in tested]


def main(module: str) -> None:
    """Print what is to be handed to pytest for a module, or say what there is in place of it."""
    name = module.removeprefix("zstruct/").removesuffix(".py")
    if name not in modules():
        raise SystemExit(f"zstruct/{name}.py does not exist; a module is named like store/shards")
    paths = [*files_testing(name), ROOT / "zstruct" / f"{name}.py"]
    print(*(path.relative_to(ROOT) for path in paths))


if __name__ == "__main__":
    main(sys.argv[1])

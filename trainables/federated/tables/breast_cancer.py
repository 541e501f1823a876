"""scikit-learn's breast cancer: 569 tumours, 30 measurements of their cells' nuclei (Wolberg et al. 1995, UCI), inside the wheel.

Bounds are the published ranges, rounded outwards.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from trainables.federated.schema import Categorical, Schema
from trainables.federated.tables import WHOLE, Table, bounded_columns, register

_COLUMNS = """
mean_radius | 6 | 30 | 2
mean_texture | 9 | 40 | 2
mean_perimeter | 40 | 190 | 1
mean_area | 140 | 2600 | 1
mean_smoothness | 0.05 | 0.17 | 4
mean_compactness | 0.01 | 0.35 | 4
mean_concavity | 0 | 0.43 | 4
mean_concave_points | 0 | 0.21 | 4
mean_symmetry | 0.1 | 0.31 | 4
mean_fractal_dimension | 0.04 | 0.1 | 5
radius_error | 0.1 | 2.9 | 3
texture_error | 0.3 | 5 | 3
perimeter_error | 0.7 | 22 | 3
area_error | 6 | 550 | 2
smoothness_error | 0.001 | 0.032 | 5
compactness_error | 0.002 | 0.14 | 5
concavity_error | 0 | 0.4 | 5
concave_points_error | 0 | 0.06 | 5
symmetry_error | 0.007 | 0.08 | 5
fractal_dimension_error | 0.0008 | 0.03 | 6
worst_radius | 7 | 37 | 2
worst_texture | 12 | 50 | 2
worst_perimeter | 50 | 260 | 1
worst_area | 180 | 4300 | 1
worst_smoothness | 0.07 | 0.23 | 4
worst_compactness | 0.02 | 1.1 | 4
worst_concavity | 0 | 1.3 | 4
worst_concave_points | 0 | 0.3 | 4
worst_symmetry | 0.15 | 0.67 | 4
worst_fractal_dimension | 0.05 | 0.21 | 5
"""
LABEL = "diagnosis"
DIAGNOSES = ("malignant", "benign")


def _read() -> Mapping[str, pa.Table]:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    names = [column.name for column in bounded_columns(_COLUMNS)]
    columns = {name: bunch.data[:, place] for place, name in enumerate(names)}
    return {WHOLE: pa.table(columns | {LABEL: [DIAGNOSES[number] for number in bunch.target]})}


@register("breast_cancer")
def breast_cancer(folder: str) -> Table:
    return Table(Schema((*bounded_columns(_COLUMNS), Categorical(LABEL, DIAGNOSES))), _read, LABEL)

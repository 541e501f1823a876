"""scikit-learn's wine: 178 wines, 13 chemical measurements, three cultivars (Forina et al. 1991, UCI), inside the wheel.

Bounds are the published ranges, rounded outwards.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from trainables.federated.schema import Categorical, Schema
from trainables.federated.tables import WHOLE, Table, bounded_columns, register

_COLUMNS = """
alcohol | 11 | 15 | 2
malic_acid | 0.5 | 6 | 2
ash | 1.3 | 3.3 | 2
alcalinity_of_ash | 10 | 30 | 1
magnesium | 70 | 165 | 0
total_phenols | 0.9 | 4 | 2
flavanoids | 0.3 | 5.2 | 2
nonflavanoid_phenols | 0.1 | 0.7 | 2
proanthocyanins | 0.4 | 3.6 | 2
color_intensity | 1 | 13 | 2
hue | 0.4 | 1.8 | 2
od280_od315_of_diluted_wines | 1.2 | 4 | 2
proline | 275 | 1700 | 0
"""
LABEL = "cultivar"
CULTIVARS = ("class_0", "class_1", "class_2")


def _read() -> Mapping[str, pa.Table]:
    from sklearn.datasets import load_wine

    bunch = load_wine()
    names = [column.name for column in bounded_columns(_COLUMNS)]
    columns = {name: bunch.data[:, place] for place, name in enumerate(names)}
    return {WHOLE: pa.table(columns | {LABEL: [CULTIVARS[number] for number in bunch.target]})}


@register("wine")
def wine(folder: str) -> Table:
    return Table(Schema((*bounded_columns(_COLUMNS), Categorical(LABEL, CULTIVARS))), _read, LABEL)

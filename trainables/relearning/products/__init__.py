"""What all trials of an experiment share, made once: one module a product, each with its key, which costs nothing, and its maker.

A maker finds the artifact or makes it. What a product is made of it reads from a `Workbench` by functions of the modules
that it imports: so whatever its making reaches counts in its module's hash, and nothing else does. This face is for those
who ask for products; modules that make something import from the modules themselves.
"""

from trainables.relearning.products.classifier import classifier_key, make_classifier
from trainables.relearning.products.imported import check_beside_base, imported_key, make_imported
from trainables.relearning.products.models import make_model, model_key, vae_key
from trainables.relearning.products.reference import make_reference, reference_key
from trainables.relearning.products.shadows import SHADOW, make_shadow, make_shadows, shadow_key, shadows_key
from trainables.relearning.products.shared import make_shared, shared_key
from trainables.relearning.products.synthetic import make_synthetic, synthetic_key
from trainables.relearning.workbench import Workbench

__all__ = [
    "SHADOW",
    "Workbench",
    "check_beside_base",
    "classifier_key",
    "imported_key",
    "make_classifier",
    "make_imported",
    "make_model",
    "make_reference",
    "make_shadow",
    "make_shadows",
    "make_shared",
    "make_synthetic",
    "model_key",
    "reference_key",
    "shadow_key",
    "shadows_key",
    "shared_key",
    "synthetic_key",
    "vae_key",
]

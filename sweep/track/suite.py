"""The track's attack suite: fixed, named, the same for every method; a figure says which attack it was measured under.

Names say the attack, what it trains on, what is special about it, and its learning rate. Attacks whose data hold what was
forgotten do not count towards the worst case: they teach it anew, and are read against the retrain control.
"""

from sweep.space import Attack, Value


def _attack(name: str, method: str, counts: bool = True, **settings: Value) -> Attack:
    return Attack(name, method, settings, counts)


SUITE: tuple[Attack, ...] = (
    _attack("dimra-retain-3e-4", "dimra", auxiliary="retain", learning_rate=3e-4),
    _attack("dimra-retain-1e-3", "dimra", auxiliary="retain", learning_rate=1e-3),
    _attack("dimra-synthetic-1e-3", "dimra", auxiliary="synthetic", learning_rate=1e-3),
    _attack("dimra-public-1e-3", "dimra", auxiliary="public", learning_rate=1e-3),
    _attack("dimra-public-64-1e-3", "dimra", auxiliary="public", images=64, learning_rate=1e-3),
    _attack("dimra-retain-lora-3e-3", "dimra", auxiliary="retain", trained_parameters="lora", learning_rate=3e-3),
    _attack("dimra-retain-sgd-1e-1", "dimra", auxiliary="retain", optimiser="sgd", learning_rate=1e-1),
    _attack("benign-unrelated-1e-3", "benign", auxiliary="unrelated", learning_rate=1e-3),
    _attack("revival-public-1e-3", "revival_point", auxiliary="public", learning_rate=1e-3),
    _attack("composition-retain-1e-3", "composition", auxiliary="retain", learning_rate=1e-3),
    _attack("malicious-8-3e-4", "malicious", counts=False, images=8, learning_rate=3e-4),
    _attack("malicious-all-3e-4", "malicious", counts=False, learning_rate=3e-4),
)

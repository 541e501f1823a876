"""The stages of a federated trial: partition, train, synthesise, score, audit."""

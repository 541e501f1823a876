"""What a trial says of the rows it synthesised, of the privacy they cost, and of what audits find.

Rows are held against public ones: these figures look at no private row again, and those of which that is not true say so. A choice
among trials by them is post-processing of all these trials together, at the ε of all.
"""

from __future__ import annotations

from trainables.figures import Figure

FIGURES = (
    Figure(
        "fd",
        description="squared Fréchet distance of synthetic rows to public ones: of images in features of a classifier of public "
        "rows, of tables in their scaled columns",
        direction="minimise",
        over="synthetic",
    ),
    Figure(
        "party_fd",
        description="squared Fréchet distance of one party's columns to public rows' own, of the party that is worst: marginals, "
        "whatever their coupling",
        direction="minimise",
        over="synthetic",
    ),
    Figure(
        "dependence_error",
        description="mean |difference of Pearson's r| from public rows, over pairs of columns that two parties hold",
        unit="correlation",
        direction="minimise",
        over="synthetic",
    ),
    Figure(
        "within_error",
        description="mean |difference of Pearson's r| from public rows, over pairs of columns that one party holds",
        unit="correlation",
        direction="minimise",
        over="synthetic",
    ),
    Figure(
        "cross_agreement",
        description="synthetic images of which classifiers of each party's part, trained on public rows, name the same class",
        unit="share",
        direction="maximise",
        over="synthetic",
        samples="synthetic",
    ),
    Figure(
        "synthetic_accuracy",
        description="accuracy on test rows of a random forest trained on synthetic rows; of images with the judge's labels",
        unit="share",
        direction="maximise",
        over="synthetic",
    ),
    Figure(
        "utility_gap",
        description="accuracy on test rows of a random forest trained on public rows, less that of one trained on as many "
        "synthetic rows",
        direction="minimise",
        over="synthetic",
    ),
    Figure(
        "fd_private",
        description="fd to as many rows that were trained on as there are public ones; no part of what epsilon covers, and "
        "nothing is chosen by it",
        direction="minimise",
        over="synthetic",
    ),
    Figure(
        "epsilon",
        description="ε that is proven of critics, generators and synthetic rows, at δ; null where none is proven",
        direction="minimise",
        over="training",
    ),
    Figure(
        "claimed_epsilon",
        description="ε that a mechanism's authors claim by their own accounting; it certifies nothing that is published",
        direction="minimise",
        over="training",
    ),
    Figure(
        "noise_multiplier",
        description="σ of each group's noise, in units of the clipping norm, found for the ε wanted",
        over="training",
    ),
    Figure(
        "audited_epsilon",
        description="lower bound of ε by an audit in one run, 95 % over both views together: published rows, and critics",
        direction="minimise",
        over="audited",
    ),
    Figure(
        "audited_epsilon_published",
        description="lower bound of ε from published rows alone, at the same confidence",
        direction="minimise",
        over="audited",
    ),
    Figure(
        "audited_epsilon_critics",
        description="lower bound of ε from critics alone, which parties and server hold after training",
        direction="minimise",
        over="audited",
    ),
    Figure(
        "audit_ceiling",
        description="the most that the audit could have found, had every guess been right",
        over="audited",
    ),
    Figure(
        "audited_epsilon_excess",
        description="audited_epsilon - epsilon: above 0 the mechanism or its proof is broken, but for one audit in twenty",
        direction="minimise",
        over="audited",
    ),
    Figure(
        "membership_auc_published",
        description="P(a row that was trained on lies nearer to a published row than one that was not); .5: nothing is betrayed",
        direction="minimise",
        over="audited",
    ),
    Figure(
        "membership_auc_critics",
        description="P(critics find a row that was trained on more real than one that was not); .5: nothing is betrayed",
        direction="minimise",
        over="audited",
    ),
    Figure(
        "training_s",
        description="processor time of training",
        unit="seconds",
        direction="minimise",
        over="training",
    ),
    Figure(
        "training_memory",
        description="weights, moments and averages of critics and generators while they train, and the parties' rows, as many as "
        "are expected",
        unit="MiB",
        direction="minimise",
        over="training",
    ),
)

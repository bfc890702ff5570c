"""The whole story as a notebook: marimo edit examples/story.py (or: python examples/story.py)."""

import marimo

app = marimo.App(width="medium", app_title="Half of an image is enough?")


@app.cell
def _():
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np

    import halfsight as hs
    from halfsight import coalitions

    photo = Path(__file__).parent / "coffee.jpg"
    return coalitions, hs, mo, np, photo, plt


@app.cell
def _(mo):
    mo.md("""
    # Half of an image is enough?

    A no-reference quality model gives a photograph a score. Which parts of the photograph
    does the score come from? We hide every combination of twelve regions and see how the score
    answers.
    """)


@app.cell
def _(hs, mo, photo):
    model = hs.load("triq")
    result = hs.explain(model, photo)
    mo.md(f"""
    The score is **{result.score:.2f}** on {result.scale.min:g} (bad) to
    {result.scale.max:g} (excellent). The table has {len(result.table)} entries, from one pass of
    the backbone: one for each set of hidden regions. The first is the score itself:
    {result.table[0]:.2f}.
    """)
    return model, result


@app.cell
def _(np, plt, result):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
    left.imshow(np.asarray(result.photograph.pixels))
    left.set_axis_off()
    left.set_title("photograph")
    heat = right.imshow(result.importance.reshape(result.grid.shape), cmap="magma")
    for region, value in enumerate(result.importance):
        row, col = divmod(region, result.grid.cols)
        right.text(col, row, f"{value:.3f}", ha="center", va="center", color="w")
    right.set_axis_off()
    right.set_title(f"importance ({result.criterion})")
    figure.colorbar(heat, ax=right, shrink=0.8)
    figure
    return (figure,)


@app.cell
def _(coalitions, mo, np, result):
    # a control: the same for all ways to hide six regions
    six = coalitions.sizes(len(result.grid)) == 6
    changes = np.abs(result.table[six] - result.score)
    trivial = abs(result.score_trivial_masked - result.score)
    important = abs(result.score_important_masked - result.score)
    mo.md(f"""
    Hiding the **trivial** half moves the score by {trivial:.2f}, hiding the **important** half by
    {important:.2f}. A random half moves it by {changes.mean():.2f} on average, at most
    {changes.max():.2f}. Without that control the pair would say little: the halves were chosen
    by the model's own answers.
    """)
    return changes, important, trivial


@app.cell
def _(mo, result):
    # Shapley values share the score out exactly: they add up to what hiding everything takes away
    values = result.importances["shapley"]
    gap = float(values.sum() - (result.table[0] - result.table[-1]))
    assert abs(gap) < 1e-4
    mo.md(f"The exact Shapley values add up to the whole difference, but for {gap:.1e}.")
    return (values,)


@app.cell
def _(coalitions, np, plt, result):
    # how much is enough: keep the k most important regions, or the k least important ones
    order = np.argsort(-result.importance, kind="stable")
    count = len(order)
    best = [result.table[coalitions.index_of(order[k:])] for k in range(count + 1)]
    worst = [result.table[coalitions.index_of(order[: count - k])] for k in range(count + 1)]
    curve, axes = plt.subplots(figsize=(6, 3.2))
    axes.plot(range(count + 1), best, marker="o", label="most important first")
    axes.plot(range(count + 1), worst, marker="o", label="least important first")
    axes.axhline(result.score, color="grey", lw=1)
    axes.set_xlabel("regions kept")
    axes.set_ylabel("score")
    axes.legend()
    curve
    return best, curve, worst


if __name__ == "__main__":
    app.run()

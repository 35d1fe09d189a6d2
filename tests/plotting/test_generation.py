import heartbeats
import numpy as np
import pytest

from ecgvae.evaluation.generation.memorisation import Memorisation, Nearest
from ecgvae.evaluation.generation.physiology import Physiology, measure_physiology
from ecgvae.plotting import plot_generation
from ecgvae.signal import LEADS_12


@pytest.fixture(scope="module")
def sets() -> dict[str, Physiology]:
    records = np.stack([heartbeats.record(heartbeats.regular(0.7 + 0.05 * seed), heartbeats.axes(seed), noise=0.02,
                                          seed=seed) for seed in range(4)])
    return {name: measure_physiology(signals, 100, LEADS_12)
            for name, signals in (("real", records[:2]), ("samples", records[2:]), ("flat", 0 * records[:1]))}


@pytest.fixture
def figures(monkeypatch) -> list:
    kept: list = []
    monkeypatch.setattr("ecgvae.plotting.generation.save_figure", lambda figure, path: kept.append(figure))
    return kept


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def nearest(random) -> Nearest:
    return Nearest(random.uniform(0.4, 0.8, 9), random.uniform(0.8, 1, 9), np.arange(9))


def test_a_page_with_everything(tmp_path, sets, figures):
    random = np.random.default_rng(0)
    plot_generation(sets, tmp_path / "page.png", memorisation=Memorisation(nearest(random), nearest(random)),
                    features={"real": random.normal(size=(3000, 2)), "samples": random.normal(size=(5, 2))},
                    scores={"samples": {"precision": 0.9, "recall": 0.4}, "validation": {"precision": 0.8}})
    names = titles(figures[0])
    assert len(names) == 15 and names[:4] == ["heart rate in 1/min", "PR in ms", "QRS in ms", "QT in ms"]
    rate, *_, scatter, bars = [axes for axes in figures[0].axes if axes.get_title()]
    labels = rate.get_legend_handles_labels()[1]
    assert labels == ["real", "samples, KS 1.00"]   # a flat set has no heart rate
    assert np.sort(rate.lines[0].get_xdata()) == pytest.approx(np.sort(sets["real"].intervals.values["heart_rate"]))
    assert [len(points.get_offsets()) for points in scatter.collections] == [1000, 5]
    assert [bar.get_height() for bar in bars.patches[:2]] == [0.9, 0.4]


def test_the_last_row_is_only_drawn_when_it_is_given(tmp_path, sets, figures):
    plot_generation(sets, tmp_path / "page.png")
    assert len(titles(figures[0])) == 12
    plot_generation({}, tmp_path / "page.png", scores={"samples": {"recall": 0.4}})
    assert titles(figures[1]) == ["agreement with real records"]


def test_a_page_as_a_file(tmp_path, sets):
    path = plot_generation(sets, tmp_path / "page.png")
    assert path.stat().st_size > 50_000
    with pytest.raises(FileExistsError):
        plot_generation(sets, path)


def test_sets_must_be_two_and_comparable(tmp_path, sets):
    for few in ({}, {"real": sets["real"]}):
        with pytest.raises(ValueError, match=f"measurements of {len(few)} sets"):
            plot_generation(few, tmp_path / "page.png")
    other = measure_physiology(np.zeros((1, 2, 1000), np.float32), 100, ("I", "II"))
    with pytest.raises(ValueError, match="different leads or rates"):
        plot_generation({"real": sets["real"], "samples": other}, tmp_path / "page.png")

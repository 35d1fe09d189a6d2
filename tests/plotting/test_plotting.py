import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from ecgvae import metrics, plotting
from ecgvae.plotting.paper import HEADER_MM, MARGIN_MM, PULSE_MM, draw_panels, layout_panel
from ecgvae.signal import LEADS_12, Record, open_record, write_record

ORDER = ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II"]


@pytest.fixture
def record() -> Record:
    signal = np.sin(2 * np.pi * np.arange(1, 13)[:, None] * np.arange(1000) / 1000).astype(np.float32)
    return Record(signal, 100, LEADS_12, name="waves")


def names(panel) -> list[str]:
    return [segment.lead for row in panel.rows for segment in row]


def red_pixels(path) -> int:
    red, green, blue = np.moveaxis(imread(path)[..., :3], -1, 0)
    return int(np.sum((red > 0.9) & (green < 0.2) & (blue < 0.2)))


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")])
def test_formats_by_suffix(tmp_path, record, suffix, magic):
    path = plotting.plot_record(record, tmp_path / "new" / f"figure{suffix}")
    assert path.read_bytes().startswith(magic)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["figure.bmp", "figure", "figure.png.exe"])
def test_other_suffixes_are_refused(tmp_path, record, name):
    with pytest.raises(ValueError, match=r"wanted \.png, \.pdf, \.svg"):
        plotting.plot_record(record, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_existing_figure_stays_unless_asked(tmp_path, record):
    path = tmp_path / "figure.png"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="figure.png exists"):
        plotting.plot_record(record, path)
    assert path.read_text() == "mine"
    plotting.plot_record(record, path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_full_disk_leaves_nothing_half_written(tmp_path, record, monkeypatch):
    def fill(self, content):
        self.write_text("half")
        raise OSError(28, "No space left on device")

    for suffix in (".png", ".pdf", ".svg"):
        path = (tmp_path / "figure").with_suffix(suffix)
        path.write_text("before")
        with monkeypatch.context() as patch:
            patch.setattr(type(path), "write_bytes", fill)
            with pytest.raises(OSError, match="No space") as error:
                plotting.plot_record(record, path, overwrite=True)
        assert error.value.filename == str(path) and path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 3


def test_standard_layout(record):
    panel = layout_panel(record, None)
    assert names(panel) == ORDER
    assert [(segment.start, segment.stop, segment.left) for segment in panel.rows[1]] == [
        (0, 2.5, 0), (2.5, 5, 62.5), (5, 7.5, 125), (7.5, 10, 187.5)
    ]  # fmt: skip
    shouted = replace(record, leads=tuple(lead.upper() for lead in record.leads))
    assert [name.upper() for name in names(layout_panel(shouted, None))] == [name.upper() for name in ORDER]


def test_other_records_have_a_row_a_lead_and_ten_seconds(record):
    pair = Record(np.zeros((2, 2500)), 100, ("MLII", "V5"))
    panel = layout_panel(pair, None)
    assert names(panel) == ["MLII", "V5"] * 3
    assert [(row[0].start, row[0].stop) for row in panel.rows[::2]] == [(0, 10), (10, 20), (20, 25)]
    assert "first" not in panel.title


def test_long_records_are_cut_and_the_title_says_so(tmp_path):
    long = Record(np.zeros((1, 10_000)), 50, ("II",), name="long")
    opened = open_record(write_record(long, tmp_path))
    for source in (long, opened):
        panel = layout_panel(source, None)
        assert panel.title == "long · first 30 s of 200.0 s"
        assert panel.rows[-1][-1].stop == 30
        assert len(panel.traces[0].leads["II"]) == 1500


def test_25_mm_a_second_and_10_mm_a_millivolt():
    step = np.concatenate([np.zeros(700), np.ones(300)]).astype(np.float32)
    figure = draw_panels([panel := layout_panel(Record(step[None], 100, ("V1",)), None)])
    axes = figure.axes[0]
    width, height = figure.get_size_inches() * 25.4
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, pytest.approx(width)), (pytest.approx(height), 0))
    x, y = max((line.get_data() for line in axes.lines), key=lambda data: len(data[0]))
    baseline = MARGIN_MM + HEADER_MM + panel.baselines[0]
    np.testing.assert_allclose(x[[0, 700]], MARGIN_MM + PULSE_MM + np.array([0, 175]))
    np.testing.assert_allclose(y[[0, 699, 700]], baseline - np.array([0, 0, 10]))


@pytest.mark.parametrize(("height", "gain"), [(3.5, 10), (7, 5), (27, 1), (5000, 0.1)])
def test_tall_signals_get_a_smaller_gain_and_stay_on_the_paper(height, gain):
    signal = np.zeros((2, 1000), dtype=np.float32)
    signal[:, 500:510] = [[height], [-height]]
    figure = draw_panels([panel := layout_panel(Record(signal, 100, ("I", "V1")), None)])
    lowest = max(line.get_ydata().max() for line in figure.axes[0].lines)
    highest = min(line.get_ydata().min() for line in figure.axes[0].lines)
    assert panel.gain == gain
    assert highest >= MARGIN_MM + HEADER_MM and lowest <= MARGIN_MM + HEADER_MM + panel.height


def test_rows_do_not_meet(record):
    signal = np.array([[3.0], [-3.0], [2.0]]) * np.sin(np.arange(1000) / 9)
    panel = layout_panel(Record(signal, 100, ("I", "II", "V1")), None)
    np.testing.assert_array_less([60, 50], np.diff(panel.baselines) + 1)


def test_the_reconstruction_is_red_and_its_prdn_in_the_title(tmp_path, record):
    other = replace(record, signal=record.signal * np.float32(0.9))
    assert red_pixels(plotting.plot_record(record, tmp_path / "alone.png")) == 0
    assert red_pixels(plotting.plot_record(record, tmp_path / "both.png", overlay=other)) > 1000
    prdn = metrics.prdn(record.signal, other.signal).mean()
    assert layout_panel(record, other).title == f"waves · PRDN {prdn:.1f} %" == "waves · PRDN 10.0 %"
    assert layout_panel(record, other, title="mine").title == "mine · PRDN 10.0 %"


def texts_and_dashed_lines(panel):
    axes = draw_panels([panel]).axes[0]
    return {text.get_text() for text in axes.texts}, [line for line in axes.lines if line.is_dashed()]


def test_invented_leads_are_dashed_and_named_so(tmp_path, record):
    invented = replace(record, invented_leads=("V2", "III"))
    opened = open_record(write_record(invented, tmp_path))
    for source in (invented, opened):
        names, dashed = texts_and_dashed_lines(layout_panel(source, None))
        assert {"V2 (invented)", "III (invented)", "V1", "II"} < names and "V2" not in names
        assert [len(line.get_xdata()) for line in dashed] == [250, 250]
    names, dashed = texts_and_dashed_lines(layout_panel(record, None))
    assert not dashed and "V2" in names


def test_invented_leads_of_a_reconstruction_are_marked_and_not_in_the_prdn(record):
    other = replace(record, signal=record.signal * np.linspace(0.9, 0.1, 12, dtype=np.float32)[:, None],
                    invented_leads=LEADS_12[1:])
    panel = layout_panel(record, other)
    names, dashed = texts_and_dashed_lines(panel)
    assert panel.title == "waves · PRDN 10.0 %" and "I" in names and "V6 (invented)" in names and len(dashed) == 24
    assert layout_panel(record, replace(other, invented_leads=LEADS_12)).title == "waves"


def test_a_reconstruction_of_another_rate_and_order(record):
    twice = np.repeat(record.signal[::-1], 2, axis=1)
    panel = layout_panel(record, Record(twice, 200, LEADS_12[::-1]))
    assert panel.title == "waves"
    seconds, values = panel.traces[1].cut(panel.rows[1][1])
    assert seconds[-1] == pytest.approx(2.495)
    np.testing.assert_array_equal(values[::2], panel.traces[0].cut(panel.rows[1][1])[1])


def test_missing_samples_and_odd_names(tmp_path, record):
    signal = record.signal.copy()
    signal[0], signal[3, 100:600] = np.nan, np.nan
    odd = replace(record, signal=signal, name="costs $5_{x}$ % \\frac")
    assert plotting.plot_record(odd, tmp_path / "odd.png", overlay=odd).stat().st_size > 10_000


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="empty has no samples"):
        plotting.plot_record(Record(np.zeros((1, 0)), 100, ("II",), name="empty"), tmp_path / "figure.png")
    with pytest.raises(ValueError, match="at least one pair"):
        plotting.plot_comparison([], tmp_path / "figure.png")


@pytest.mark.parametrize(("count", "columns"), [(2, 1), (5, 2)])
def test_comparison_has_a_panel_a_pair(tmp_path, record, count, columns):
    single = imread(plotting.plot_record(record, tmp_path / "one.png", overlay=record)).shape
    many = imread(plotting.plot_comparison([(record, record)] * count, tmp_path / "many.png")).shape
    mm = 150 / 25.4
    assert many[1] == pytest.approx(columns * (single[1] - MARGIN_MM * mm) + MARGIN_MM * mm, abs=2)
    assert many[0] == pytest.approx(-(-count // columns) * (single[0] - MARGIN_MM * mm) + MARGIN_MM * mm, abs=2)


def test_tokens_have_a_colour_a_code_under_the_trace(tmp_path, record, monkeypatch):
    figures = []
    monkeypatch.setattr("ecgvae.plotting.tokens.save_figure", lambda figure, path: figures.append(figure))
    codes = [np.array([5, 6, 5, 900] * 31), np.arange(31, dtype=np.uint16)]
    plotting.plot_tokens(record, codes, [8, 32], 100, tmp_path / "tokens.png")
    first, second = figures[0].axes[0].collections[-2:]
    assert [text.get_text() for text in figures[0].axes[0].texts[-2:]] == ["codebook 0", "codebook 1"]
    colours = first.get_facecolors()
    assert len(colours) == 124 and len(second.get_paths()) == 31
    np.testing.assert_array_equal(colours[0], colours[2])
    assert np.abs(colours[0] - colours[1]).max() > 0.1
    edges = first.get_paths()[1].get_extents()
    np.testing.assert_allclose([edges.x0, edges.x1], MARGIN_MM + PULSE_MM + np.array([2, 4]))  # 80 ms at 25 mm/s


def test_tokens_as_a_file(tmp_path, record):
    path = plotting.plot_tokens(
        record, [np.zeros(125, dtype=np.uint16), np.zeros(0)], [8, 8], 100, tmp_path / "a.png"
    )
    assert path.stat().st_size > 10_000


def test_curves(tmp_path, monkeypatch):
    log = tmp_path / "log.csv"
    log.write_text("step,loss,validation,device,empty\n1,100,,cpu,\n2,10,7,cpu,\n3,1,,cpu,\n")
    assert plotting.plot_curves(log, tmp_path / "curves.svg").stat().st_size > 1000
    figures = []
    monkeypatch.setattr("ecgvae.plotting.curves.save_figure", lambda figure, path: figures.append(figure))
    plotting.plot_curves(log, tmp_path / "curves.png")
    loss, validation = figures[0].axes
    assert [axes.get_title() for axes in figures[0].axes] == ["loss", "validation"]
    assert (loss.get_yscale(), validation.get_yscale()) == ("log", "linear")
    np.testing.assert_array_equal(validation.lines[0].get_xydata(), [[2, 7]])


@pytest.mark.parametrize("text", ["loss\n1\n", "step\n1\n", "step,device\n1,cpu\n", ""])
def test_curves_need_steps_and_numbers(tmp_path, text):
    log = tmp_path / "log.csv"
    log.write_text(text)
    with pytest.raises(ValueError):
        plotting.plot_curves(log, tmp_path / "curves.png")


def test_matplotlib_loads_when_needed_and_never_pyplot(tmp_path):
    code = (
        "import sys, numpy as np; from ecgvae.plotting import plot_record; from ecgvae.signal import Record;"
        "assert 'matplotlib' not in sys.modules;"
        "plot_record(Record(np.zeros((1, 9)), 9, ('II',)), sys.argv[1]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    path = tmp_path / "figure.png"
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "") and path.exists()

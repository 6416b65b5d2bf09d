"""The report's sentences say what is true of the run at hand."""

import dataclasses

from boldformer.preprocessing.pipeline import READING_STEPS, STEPS, step_meaning
from boldformer.visualization import words
from boldformer.visualization.finished_run import load_results


def _headings(results):
    return " ".join(heading for heading, _ in words.limits(results))


def test_limits_follow_the_run(fabricated):
    cohort = load_results(fabricated())
    assert "during a scan" in _headings(cohort)
    assert "other people" not in _headings(cohort)
    assert "intervals are exact" not in _headings(cohort)
    alone = load_results(fabricated(n_subjects=1, n_runs=3, mode="causal"))
    assert "other people" in _headings(alone)
    assert "intervals are exact" in _headings(alone)
    assert "during a scan" not in _headings(alone)
    leaky = load_results(fabricated(leaky=True))
    assert words.limits(leaky)[0][0] == "That the score means anything."


def test_leaky_runs_are_not_said_to_be_apart(fabricated):
    apart = " ".join(words.what_was_done(load_results(fabricated())))
    assert "seen nothing of its person" in apart
    leaky = " ".join(words.what_was_done(load_results(fabricated(leaky=True))))
    assert "seen nothing" not in leaky
    assert "NOT" in leaky


def test_unknown_steps_and_settings_are_still_shown(fabricated):
    results = load_results(fabricated())
    steps = [{"step": "smooth_more", "fwhm_mm": 6.0, "kinds": ["a", "b"]}]
    preprocessing = {"mode": "causal", "steps": steps}
    metrics = results.metrics | {"preprocessing": preprocessing}
    results = dataclasses.replace(results, metrics=metrics)
    (step,) = words.preprocessing_steps(results)
    assert step["name"] == "smooth more"
    assert step["settings"] == "fwhm 6 mm; kinds a, b"


def test_every_step_is_told_in_words():
    assert all(step_meaning(name) for name in (*STEPS, *READING_STEPS))


def test_the_unit_that_is_judged_is_not_the_one_that_is_held_out(fabricated):
    results = load_results(fabricated())
    protocol = results.metrics["protocol"] | {"unit": "run"}
    within = dataclasses.replace(
        results, metrics=results.metrics | {"protocol": protocol}
    )
    assert words.judged_on(results) == "on 12 held-out subjects"
    assert words.judged_on(within) == "over 12 subjects, runs held out within each"
    assert "because runs tested in one fold" in words.widened(within)
    assert "person never seen before" in _headings(within)


def test_what_is_shared_names_no_folder(fabricated):
    results = load_results(fabricated())
    config = '[data]\npath = "/home/me/study"\nlabel_table = "/home/me/t.tsv"\n'
    text = words.shareable_config(dataclasses.replace(results, config=config))
    assert "/home" not in text
    assert 'path = "study"' in text


def test_of_maps_nothing_is_said_that_takes_time(fabricated):
    results = load_results(fabricated())
    window = results.metrics["window"] | {"of_maps": True}
    maps = dataclasses.replace(results, metrics=results.metrics | {"window": window})
    told = " ".join([*words.what_was_done(maps), words.mode_text(maps)])
    assert "each a sample" in told
    assert "later volumes" not in told
    assert "after its event" not in told
    assert "during a scan" not in _headings(maps)

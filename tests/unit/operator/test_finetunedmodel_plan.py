"""A FineTunedModel: what its job and the Comparisons found is noted on it, and stays."""

from __future__ import annotations

from .building import Raw, being_deleted, comparison, fine_tune_job, moment, rerun, uid_of, with_status
from .deciding import decide, told
from .outcomes import TRAINED, prepare_done, succeeded, train_done, training


def registered() -> tuple[Raw, Raw]:
    job, *_, model = succeeded(fine_tune_job())
    return job, model


def scoring(name: str, model: Raw, *, finished: float = 0, tuned: str = "0.60", verdict: str = "Improved") -> Raw:
    """A Comparison that has scored the model."""
    numbers = {"base": "0.40", "tuned": tuned, "delta": "+0.20", "lower": "0.15", "upper": "0.25", "p": "0.001"}
    overall = {"n": 1, "groups": 1, "verdict": verdict, "reason": "IntervalAboveZero", **numbers}
    candidate = {
        "fineTuneJob": "tuned",
        "fineTunedModel": model["metadata"]["name"],
        "verdict": verdict,
        "overall": overall,
    }
    run = {"digest": "0" * 16, "startedAt": moment(-60), "finishedAt": moment(finished)}
    return with_status(comparison(name), phase="Succeeded", run=run, candidates=[candidate])


def test_what_the_training_took_is_noted() -> None:
    job, model = registered()
    status = decide(model, job).status
    assert (status.stage.value, status.training) == ("Candidate", TRAINED.training)


def test_nothing_is_noted_until_the_job_has_told_so_that_one_write_says_it_all() -> None:
    job, *_ = training(fine_tune_job())
    _, model = registered()
    assert decide(model, job).plan.actions == ()
    there = told(job, *prepare_done(job), *train_done(job), model)
    assert decide(model, there).status.training == TRAINED.training


def test_a_model_whose_job_is_gone_or_runs_again_is_noted_all_the_same() -> None:
    job, model = registered()
    noted = told(model, job)
    again = with_status(rerun(job), run={"digest": "f" * 16, "startedAt": moment()}, training=None)
    for others in ((), (again,), (fine_tune_job(metadata={"uid": "another"}),)):
        assert decide(noted, *others).status.training == TRAINED.training
        assert decide(model, *others).status.stage.value == "Candidate"


def test_a_namesake_of_the_job_says_nothing() -> None:
    job, model = registered()
    namesake = with_status(job)
    namesake["metadata"]["uid"] = "another"
    assert uid_of(namesake) != uid_of(job)
    assert decide(model, namesake).status.training is None


def test_scores_are_noted_latest_first() -> None:
    job, model = registered()
    earlier, later = scoring("a", model, finished=0), scoring("b", model, finished=60, tuned="0.70")
    scores = decide(model, job, earlier, later).status.scores
    assert [(score.comparison, score.tuned) for score in scores] == [("b", "0.70"), ("a", "0.60")]
    assert {score.suite for score in scores} == {"builtin/finance"}
    assert decide(model, job, later, earlier).status.scores == scores


def test_a_score_stays_when_its_comparison_is_deleted_or_at_it_again() -> None:
    job, model = registered()
    noted = told(model, job, scoring("a", model))
    assert [score.comparison for score in decide(noted, job).status.scores] == ["a"]
    again = with_status(scoring("a", model), phase="Pending", candidates=[])
    assert [score.comparison for score in decide(noted, job, again).status.scores] == ["a"]


def test_a_new_verdict_of_the_same_comparison_replaces_the_old_one() -> None:
    job, model = registered()
    noted = told(model, job, scoring("a", model))
    (score,) = decide(noted, job, scoring("a", model, verdict="Regressed")).status.scores
    assert score.verdict.value == "Regressed"


def test_scores_of_other_models_are_not_noted() -> None:
    job, model = registered()
    other = scoring("a", model)
    other["status"]["candidates"][0]["fineTunedModel"] = "another"
    assert decide(model, job, other).status.scores == ()


def test_a_comparison_without_a_verdict_scores_nothing() -> None:
    job, model = registered()
    unfinished = scoring("a", model)
    del unfinished["status"]["candidates"][0]["overall"]
    assert decide(model, job, unfinished).status.scores == ()


def test_twenty_scores_are_kept() -> None:
    job, model = registered()
    many = [scoring(f"c{number:02}", model, finished=number) for number in range(25)]
    scores = decide(model, job, *many).status.scores
    assert [score.comparison for score in scores] == [f"c{number:02}" for number in range(24, 4, -1)]


def test_a_model_that_is_being_deleted_is_left_alone() -> None:
    job, model = registered()
    assert decide(being_deleted(model), job).plan.actions == ()


def test_suites_are_named_by_where_they_lie() -> None:
    job, model = registered()
    folder = scoring("a", model)
    folder["spec"]["suite"] = {"configMap": {"name": "ours"}}
    claim = scoring("b", model, finished=60)
    claim["spec"]["suite"] = {"persistentVolumeClaim": {"claimName": "suites", "path": "x"}}
    suites = [score.suite for score in decide(model, job, folder, claim).status.scores]
    assert suites == ["persistentVolumeClaim/suites/x", "configMap/ours"]

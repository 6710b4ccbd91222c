"""Work folders: one for each training, and none stays when a training for the same bundle has ended well."""

import subprocess

from shelfwise_indexer.work_folder import PROCESS, forget, work_folder


def begun(work):
    """A fit that was interrupted after its first epoch."""
    checkpoint = work / "fit" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    return work


def test_a_training_of_the_same_inputs_goes_on_in_its_folder(tmp_path, capsys):
    work = begun(work_folder(tmp_path / "bundle", ["data", {"epochs": 4}]))
    assert not capsys.readouterr().err
    assert work_folder(tmp_path / "bundle", ["data", {"epochs": 4}]) == work
    assert capsys.readouterr().err == f"going on with an interrupted training in {work}\n"


def test_a_training_of_other_inputs_names_those_that_were_interrupted(tmp_path, capsys):
    before = begun(work_folder(tmp_path / "bundle", ["data", {"epochs": 4}]))
    begun(work_folder(tmp_path / "other", ["data"]))
    capsys.readouterr()
    assert work_folder(tmp_path / "bundle", ["data", {"epochs": 5}]) != before
    told = capsys.readouterr().err
    assert f"with another catalogue or other settings left {before}: deleted when this training ends well" in told
    assert before.exists()


def test_a_training_that_runs_elsewhere_is_neither_named_nor_deleted(tmp_path, capsys):
    other = begun(work_folder(tmp_path / "bundle", [1]))
    with subprocess.Popen(["sleep", "60"]) as running:
        (other / PROCESS).write_text(str(running.pid))
        own = work_folder(tmp_path / "bundle", [2])
        forget(tmp_path / "bundle", own)
        assert (other.exists(), own.exists()) == (True, False)
        assert "left" not in capsys.readouterr().err
        running.kill()
    forget(tmp_path / "bundle")
    assert not other.exists()


def test_all_that_trainings_for_a_bundle_left_is_forgotten_and_nothing_else(tmp_path):
    left = [begun(work_folder(tmp_path / "a[1]", [inputs])) for inputs in range(2)]
    others = [begun(work_folder(tmp_path / name, [0])) for name in ("a1", "a[1]b", "b")]
    mine = tmp_path / ".a[1].training-notes"
    mine.mkdir()
    forget(tmp_path / "a[1]")
    assert not any(work.exists() for work in left)
    assert all(work.exists() for work in [*others, mine])

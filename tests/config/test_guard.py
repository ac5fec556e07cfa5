import pytest
from omegaconf import OmegaConf

from pipelines.config.guard import MAX_ALIASES, MAX_FILE_BYTES, refuse_bombs, refuse_foreign_code
from pipelines.schema.errors import UsageError


@pytest.mark.parametrize(
    ("hydra", "message"),
    [
        ({"launcher": {"_target_": "os.system"}}, r"hydra\.launcher\._target_: 'os\.system'"),
        ({"callbacks": {"mine": {"_target_": "hydrax.Callback"}}}, r"hydra\.callbacks\.mine\._target_"),
        ({"sweeper": {"more": [{"_target_": "evil.X"}]}}, r"hydra\.sweeper\.more\.0\._target_"),
        ({"job_logging": {"handlers": {"x": {"()": "os.system"}}}}, "only Python's own logging classes are"),
        ({"hydra_logging": {"handlers": {"x": {"class": "evil.Handler"}}}}, "only Python's own logging classes are"),
        ({"job": {"env_set": {"PATH": "/tmp"}}}, "env_set is not honoured"),
    ],
)
def test_what_would_run_code_is_refused_with_its_place(hydra, message):
    with pytest.raises(UsageError, match=message):
        refuse_foreign_code(OmegaConf.create({"job": {"name": "x"}, **hydra}))


def test_hydras_own_classes_and_pythons_logging_pass():
    refuse_foreign_code(
        OmegaConf.create(
            {
                "launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
                "sweeper": {"_target_": "hydra_plugins.x.Sweeper"},
                "job_logging": {"handlers": {"x": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}},
                "job": {"name": "x", "env_set": {}},
            }
        )
    )


def test_files_that_would_unfold_without_end_are_refused(tmp_path):
    few, many = (
        " ".join(["a: &a [1]", *(f"\nk{i}: *a" for i in range(count))]) for count in (MAX_ALIASES, MAX_ALIASES + 1)
    )
    (tmp_path / "tier").mkdir()
    (tmp_path / "tier" / "few.yaml").write_text(few)
    (tmp_path / "broken.yaml").write_text("a: [")
    refuse_bombs(tmp_path)
    (tmp_path / "tier" / "many.yaml").write_text(many)
    with pytest.raises(UsageError, match=r"many\.yaml has 33 aliases"):
        refuse_bombs(tmp_path)
    (tmp_path / "tier" / "many.yaml").write_text("#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(UsageError, match=r"many\.yaml is larger than any config"):
        refuse_bombs(tmp_path)

"""Images are chains of declarations, extended and rejected as in Flyte's SDK."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from flyte_notebook.api.image import Image


def test_each_call_gives_a_new_image_and_leaves_the_old_one_alone():
    base = Image.from_debian_base()
    extended = base.with_pip_packages("pandas", "numpy", pre=True).with_apt_packages("git")
    assert str(base) == "from_debian_base(install_flyte=True)"
    assert str(extended) == (
        "from_debian_base(install_flyte=True).with_pip_packages('pandas', 'numpy', pre=True).with_apt_packages('git')"
    )


def test_the_whole_chain_is_kept_to_be_replayed():
    image = Image.from_uv_script(Path("job.py"), name="job").with_commands(["echo a"]).with_env_vars({"A": "b"})
    assert [step.method for step in image.steps] == ["from_uv_script", "with_commands", "with_env_vars"]
    assert image.steps[0].kwargs == {"script": Path("job.py"), "name": "job", "pre": False}
    assert image.steps[1].kwargs == {"commands": ["echo a"]}
    assert image.steps[2].kwargs == {"env_vars": {"A": "b"}}


def test_values_of_environment_variables_are_not_shown():
    image = Image.from_debian_base().with_env_vars({"TOKEN": "hunter2"})
    assert "TOKEN" in image.describe()
    assert "hunter2" not in image.describe()


def test_an_image_is_not_made_by_its_class():
    with pytest.raises(TypeError, match="Direct instantiation of Image not allowed"):
        Image()


@pytest.mark.parametrize("method", ["with_pip_packages", "with_apt_packages"])
def test_packages_in_a_list_are_a_type_error_with_a_hint(method):
    with pytest.raises(TypeError, match="Hint: Pass items as separate arguments"):
        getattr(Image.from_debian_base(), method)(["a", "b"])


def test_an_image_from_a_registry_cannot_be_extended():
    with pytest.raises(ValueError, match="Cannot add additional layers to a non-extendable image"):
        Image.from_base("python:3.12").with_pip_packages("a")


def test_a_clone_with_a_name_can_be_extended():
    image = Image.from_base("python:3.12").clone(name="mine", extendable=True).with_pip_packages("a")
    assert image.name == "mine"


def test_a_clone_without_a_name_cannot():
    with pytest.raises(ValueError, match=r"to an image without name\. Please first clone\(\)\."):
        Image.from_base("python:3.12").clone(extendable=True).with_pip_packages("a")


def test_an_image_from_a_dockerfile_takes_no_layers():
    image = Image.from_dockerfile("Dockerfile", "registry", "name")
    with pytest.raises(ValueError, match="non-extendable"):
        image.with_workdir("/app")
    with pytest.raises(ValueError, match="Dockerfile"):
        image.clone(extendable=True).with_workdir("/app")


def test_requirements_are_a_text_file():
    with pytest.raises(ValueError, match=r"Requirements file setup.cfg must have a \.txt extension"):
        Image.from_debian_base().with_requirements("setup.cfg")


def test_source_files_of_equal_names_would_overwrite_each_other():
    with pytest.raises(ValueError, match=r"would overwrite each other at destination '\.': \['a\.py'\]"):
        Image.from_debian_base().with_source_file([Path("x/a.py"), Path("y/a.py"), Path("b.py")])


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="nope"):
        Image.from_debian_base().with_pip_packages("a", nope=1)


@pytest.mark.parametrize(
    "image",
    [
        Image.from_ref_name("gpu"),
        Image.from_pixi_script("job.py", name="job"),
        Image.from_debian_base(python_version=(3, 12))
        .with_requirements("requirements.txt")
        .with_workdir("/app")
        .with_source_folder(Path("src"), copy_contents_only=True)
        .with_source_file(Path("a.py"))
        .with_code_bundle()
        .with_dockerignore(Path(".dockerignore"))
        .with_uv_project("pyproject.toml")
        .with_poetry_project("pyproject.toml")
        .with_pixi_project("pixi.toml"),
    ],
    ids=str,
)
def test_equal_images_are_equal_hash_alike_and_survive_pickling(image):
    copy = pickle.loads(pickle.dumps(image))
    assert copy == image
    assert hash(copy) == hash(image)
    assert copy != Image.from_debian_base()

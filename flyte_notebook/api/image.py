"""`Image`: a container image as a chain of declarations. Nothing is built here; a cluster's SDK replays the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One call in the chain, as it was made: `method(*args, **kwargs)`; arguments that are None are left out."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        shown = [_shown(arg) for arg in self.args]
        shown += [f"{name}={_shown(value)}" for name, value in self.kwargs.items() if value is not False]
        return f"{self.method}({', '.join(shown)})"


@dataclass(frozen=True, init=False)
class Image:
    """What a task's container is made of. Begin with a `from_*` constructor; each `with_*` returns a new image.

    Raises:
        TypeError: the class is called directly, or packages are given as a list.
        ValueError: a layer is added to an image that cannot be extended.
    """

    steps: tuple[Step, ...]
    """The whole chain, from the constructor on."""
    extendable: bool
    name: str | None

    def __init__(self) -> None:
        raise TypeError(
            "Direct instantiation of Image not allowed, please use one of the various from_...() methods instead"
        )

    @classmethod
    def from_debian_base(
        cls,
        python_version: tuple[int, int] | None = None,
        flyte_version: str | None = None,
        install_flyte: bool = True,
        registry: str | None = None,
        registry_secret: Any = None,
        name: str | None = None,
        platform: Sequence[str] | None = None,
    ) -> Image:
        """The default image, with this Python unless told otherwise."""
        return _image((_step("from_debian_base", locals()),), extendable=True, name=name or "flyte")

    @classmethod
    def from_base(cls, image_uri: str) -> Image:
        """An image that exists in a registry; layers need `clone(name=..., extendable=True)` first."""
        return _image((Step("from_base", (image_uri,), {}),), extendable=False, name=None)

    @classmethod
    def from_ref_name(cls, name: str = "default") -> Image:
        """An image that the cluster's configuration knows by `name`."""
        return _image((Step("from_ref_name", (name,), {}),), extendable=False, name=name)

    @classmethod
    def from_dockerfile(
        cls, file: Path | str, registry: str, name: str, platform: str | Sequence[str] | None = None
    ) -> Image:
        """An image built from a Dockerfile; it takes no layers."""
        return _image((_step("from_dockerfile", locals()),), extendable=False, name=name)

    @classmethod
    def from_uv_script(
        cls,
        script: Path | str,
        *,
        name: str,
        registry: str | None = None,
        registry_secret: Any = None,
        python_version: tuple[int, int] | None = None,
        index_url: str | None = None,
        extra_index_urls: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        platform: Sequence[str] | None = None,
        secret_mounts: Any = None,
    ) -> Image:
        """An image with what a script's `# /// script` block asks for."""
        return _image((_step("from_uv_script", locals()),), extendable=True, name=name)

    @classmethod
    def from_pixi_script(
        cls,
        script: Path | str,
        *,
        name: str,
        registry: str | None = None,
        registry_secret: Any = None,
        environment: str = "default",
        extra_args: str | None = None,
        platform: Sequence[str] | None = None,
        secret_mounts: Any = None,
    ) -> Image:
        """As `from_uv_script`, for pixi."""
        return _image((_step("from_pixi_script", locals()),), extendable=True, name=name)

    def clone(
        self,
        registry: str | None = None,
        registry_secret: Any = None,
        name: str | None = None,
        base_image: str | None = None,
        python_version: tuple[int, int] | None = None,
        extendable: bool | None = None,
        platform: str | Sequence[str] | None = None,
    ) -> Image:
        """The same image under another name, in another registry, or made extendable."""
        return _image(
            (*self.steps, _step("clone", locals())),
            extendable=self.extendable if extendable is None else extendable,
            name=name or self.name,
        )

    def with_pip_packages(
        self,
        *packages: str,
        index_url: str | None = None,
        extra_index_urls: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        secret_mounts: Any = None,
    ) -> Image:
        """Add Python packages."""
        return self._layer("with_pip_packages", locals())

    def with_apt_packages(self, *packages: str, secret_mounts: Any = None) -> Image:
        """Add system packages."""
        return self._layer("with_apt_packages", locals())

    def with_requirements(
        self,
        file: Path | str,
        index_url: str | None = None,
        extra_index_urls: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        secret_mounts: Any = None,
    ) -> Image:
        """Add what a `requirements.txt` lists."""
        if Path(file).suffix != ".txt":
            raise ValueError(f"Requirements file {file} must have a .txt extension")
        return self._layer("with_requirements", locals())

    def with_env_vars(self, env_vars: Mapping[str, str]) -> Image:
        """Set environment variables."""
        return self._layer("with_env_vars", locals())

    def with_commands(self, commands: str | Sequence[str], secret_mounts: Any = None) -> Image:
        """Run shell commands while the image is built."""
        return self._layer("with_commands", locals())

    def with_workdir(self, workdir: str) -> Image:
        """Set the working directory."""
        return self._layer("with_workdir", locals())

    def with_source_folder(self, src: Path, dst: str = ".", copy_contents_only: bool = False) -> Image:
        """Copy a folder of this machine."""
        return self._layer("with_source_folder", locals())

    def with_source_file(self, src: Path | list[Path], dst: str = ".") -> Image:
        """Copy a file, or files, of this machine."""
        names = [path.name for path in src] if isinstance(src, list) else []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"Multiple files with the same name would overwrite each other at destination '{dst}': {twice}"
            )
        return self._layer("with_source_file", {"self": self, "src": src, "dst": dst})

    def with_code_bundle(self, copy_style: str = "loaded_modules", dst: str = ".") -> Image:
        """Copy the code itself, for runs whose code does not travel beside the image."""
        return self._layer("with_code_bundle", locals())

    def with_dockerignore(self, path: Path) -> Image:
        """Name a `.dockerignore` for what is copied."""
        return self._layer("with_dockerignore", locals())

    def with_uv_project(
        self,
        pyproject_file: Path | str,
        uvlock: Path | None = None,
        index_url: str | None = None,
        extra_index_urls: Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        secret_mounts: Any = None,
        project_install_mode: str = "dependencies_only",
    ) -> Image:
        """Add what a uv project depends on."""
        return self._layer("with_uv_project", locals())

    def with_poetry_project(
        self,
        pyproject_file: Path | str,
        poetry_lock: Path | None = None,
        extra_args: str | None = None,
        secret_mounts: Any = None,
        project_install_mode: str = "dependencies_only",
    ) -> Image:
        """Add what a Poetry project depends on."""
        return self._layer("with_poetry_project", locals())

    def with_pixi_project(
        self,
        manifest_file: Path | str,
        pixi_lock: Path | None = None,
        environment: str = "default",
        extra_args: str | None = None,
        secret_mounts: Any = None,
        project_install_mode: str = "dependencies_only",
    ) -> Image:
        """Add what a pixi project depends on."""
        return self._layer("with_pixi_project", locals())

    def describe(self) -> str:
        """The chain as one would type it, without the values of environment variables."""
        return ".".join(map(str, self.steps))

    __str__ = describe

    def __hash__(self) -> int:
        # Arguments may be lists and dicts; equal images have equal descriptions.
        return hash(self.describe())

    def _layer(self, method: str, arguments: dict[str, Any]) -> Image:
        step = _step(method, arguments)
        if not self.extendable:
            raise ValueError(
                "Cannot add additional layers to a non-extendable image. "
                "Please create the image with extendable=True in the clone() call."
            )
        if self.steps[0].method == "from_dockerfile":
            raise ValueError(
                "Cannot add additional layers to a Dockerfile-based image. Please amend the dockerfile directly."
            )
        if not self.name:
            raise ValueError(f"Cannot add additional layer {step} to an image without name. Please first clone().")
        return _image((*self.steps, step), extendable=True, name=self.name)


def _image(steps: tuple[Step, ...], *, extendable: bool, name: str | None) -> Image:
    image = Image.__new__(Image)
    for field, value in (("steps", steps), ("extendable", extendable), ("name", name)):
        object.__setattr__(image, field, value)
    return image


def _step(method: str, arguments: dict[str, Any]) -> Step:
    """The step for a method whose parameters, `self` or `cls` included, are `arguments`."""
    packages = arguments.get("packages", ())
    for package in packages:
        if not isinstance(package, str):
            raise TypeError(
                f"{method}() takes strings, got {package!r}. "
                "Hint: Pass items as separate arguments, e.g., 'vim', 'git' instead of ['vim', 'git']."
            )
    left_out = ("self", "cls", "packages")
    return Step(method, packages, {k: v for k, v in arguments.items() if k not in left_out and v is not None})


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: …" for key in value) + "}"
    return repr(str(value)) if isinstance(value, Path) else repr(value)

